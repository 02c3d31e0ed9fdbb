package delivery

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// body is a JSON document in whose strings a message's values are put. It is JSON before and after: a value can be nothing
// but a part of a string.
type body struct{ root any }

// phrase is a string of the document: pieces that stay, and names of values.
type phrase []piece

type piece struct{ text, value string }

// values are what a body may name, each in braces.
var values = map[string]func(Message) string{
	"to":        func(m Message) string { return m.To },
	"to_digits": func(m Message) string { return strings.TrimPrefix(m.To, "+") },
	"text":      func(m Message) string { return m.Text },
	"greeting":  func(m Message) string { return m.Greeting },
	"code":      func(m Message) string { return m.Code },
	"id":        func(m Message) string { return m.ID },
	"channel":   func(m Message) string { return m.Channel },
	"language":  func(m Message) string { return m.Language },
}

// defaultBody has all that a gateway needs to send a text or to speak it.
const defaultBody = `{"id": "{id}", "channel": "{channel}", "to": "{to}", "language": "{language}", "text": "{text}", "code": "{code}"}`

const (
	valuesToName = "{to}, {to_digits}, {text}, {greeting}, {code}, {id}, {channel}, {language}, {env.NAME} and {file./path}"
	longestBody  = 16 << 10
)

var braced = regexp.MustCompile(`\{[A-Za-z_][^{}"\s]*\}`)

// newBody reads the document. expand gives the fixed text of a name that is none of a message's, such as an API key.
func newBody(text string, expand func(name string) (string, error)) (*body, error) {
	if text == "" {
		text = defaultBody
	}
	if len(text) > longestBody {
		return nil, fmt.Errorf("body: %d bytes; at most %d", len(text), longestBody)
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var document map[string]any
	if err := decoder.Decode(&document); err != nil {
		return nil, fmt.Errorf("body: not a JSON object (%w); write one, such as %s", err, defaultBody)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("body: something follows the JSON object; remove it")
	}
	var named []string
	root, err := compile(document, expand, &named)
	if err != nil {
		return nil, err
	}
	for _, needed := range [][]string{{"to", "to_digits"}, {"text", "code"}} {
		if !slices.ContainsFunc(needed, func(name string) bool { return slices.Contains(named, name) }) {
			return nil, fmt.Errorf("body: it names neither {%s} nor {%s}; add one of them", needed[0], needed[1])
		}
	}
	return &body{root}, nil
}

func compile(node any, expand func(string) (string, error), named *[]string) (any, error) {
	switch n := node.(type) {
	case map[string]any:
		for key, inner := range n {
			compiled, err := compile(inner, expand, named)
			if err != nil {
				return nil, err
			}
			n[key] = compiled
		}
	case []any:
		for i, inner := range n {
			compiled, err := compile(inner, expand, named)
			if err != nil {
				return nil, err
			}
			n[i] = compiled
		}
	case string:
		return compilePhrase(n, expand, named)
	}
	return node, nil
}

func compilePhrase(text string, expand func(string) (string, error), named *[]string) (phrase, error) {
	var p phrase
	for text != "" {
		at := braced.FindStringIndex(text)
		if at == nil {
			break
		}
		p = append(p, piece{text: text[:at[0]]})
		name := text[at[0]+1 : at[1]-1]
		switch {
		case values[name] != nil:
			p = append(p, piece{value: name})
			*named = append(*named, name)
		case expand != nil && (strings.HasPrefix(name, "env.") || strings.HasPrefix(name, "file.")):
			fixed, err := expand("{" + name + "}")
			if err != nil {
				return nil, fmt.Errorf("body: %w", err)
			}
			p = append(p, piece{text: fixed})
		default:
			return nil, fmt.Errorf("body: there is no {%s}; there are %s", name, valuesToName)
		}
		text = text[at[1]:]
	}
	return append(p, piece{text: text}), nil
}

// fill writes the document for a message.
func (b *body) fill(m Message) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(filled(b.root, m)); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

func filled(node any, m Message) any {
	switch n := node.(type) {
	case map[string]any:
		out := make(map[string]any, len(n))
		for key, inner := range n {
			out[key] = filled(inner, m)
		}
		return out
	case []any:
		out := make([]any, len(n))
		for i, inner := range n {
			out[i] = filled(inner, m)
		}
		return out
	case phrase:
		var s strings.Builder
		for _, p := range n {
			if p.value != "" {
				s.WriteString(values[p.value](m))
			}
			s.WriteString(p.text)
		}
		return s.String()
	}
	return node
}
