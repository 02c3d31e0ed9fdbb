package pages

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

//go:embed templates locales assets
var builtin embed.FS

// source reads the operator's file if there is one, else ours.
type source struct{ overrides fs.FS }

// A name is what an operator calls a file in the override folder; templates lie at its root.
func builtinName(name string) string {
	if strings.HasPrefix(name, "locales/") || strings.HasPrefix(name, "assets/") {
		return name
	}
	return "templates/" + name
}

func (s source) read(name string) ([]byte, error) {
	b, err := s.override(name)
	if b != nil || err != nil {
		return b, err
	}
	return fs.ReadFile(builtin, builtinName(name))
}

// override returns nil when the operator has no such file.
func (s source) override(name string) ([]byte, error) {
	if s.overrides == nil {
		return nil, nil
	}
	b, err := fs.ReadFile(s.overrides, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("brand templates: reading %s: %w", name, err)
	}
	if b == nil {
		b = []byte{}
	}
	return b, nil
}

// list returns the names of the files in a folder, ours and the operator's.
func (s source) list(folder string) ([]string, error) {
	var names []string
	entries, err := fs.ReadDir(builtin, folder)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if s.overrides != nil {
		entries, err := fs.ReadDir(s.overrides, folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("brand templates: reading %s: %w", folder, err)
		}
		for _, e := range entries {
			if !e.IsDir() {
				names = append(names, e.Name())
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// unknown refuses templates that nothing would ever show: a misspelt override must not be ignored in silence.
func (s source) unknown() error {
	if s.overrides == nil {
		return nil
	}
	var faults []error
	err := fs.WalkDir(s.overrides, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		ext := path.Ext(name)
		if d.IsDir() || (ext != ".html" && ext != ".txt") {
			return nil
		}
		if _, err := fs.Stat(builtin, builtinName(name)); err != nil {
			faults = append(faults, fmt.Errorf("brand templates: %s replaces nothing; there are %s", name, strings.Join(templateNames(), ", ")))
		}
		return nil
	})
	return errors.Join(append(faults, err)...)
}

func templateNames() []string {
	var names []string
	// The walk of an embedded folder cannot fail.
	_ = fs.WalkDir(builtin, "templates", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, strings.TrimPrefix(name, "templates/"))
		}
		return err
	})
	return names
}
