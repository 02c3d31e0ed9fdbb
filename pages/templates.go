package pages

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"text/template/parse"
	"time"
)

// views lists every page, with nothing in it.
var views = []View{Ask{}, Prove{}, Code{}, Add{}, Offer{}, Setup{}, Recovery{}, App{}, AppCode{}, Details{}, Done{}, NotSent{}, Frozen{}, Notice{}, Undone{}, Stale{}, Help{}, HelpSent{}, Trouble{}}

type templates map[string]*template.Template

// parseViews puts each page into the layout that all share.
func parseViews(src source) (templates, error) {
	layout, err := src.read("layout.html")
	if err != nil {
		return nil, err
	}
	base, err := template.New("layout").Option("missingkey=error").Parse(string(layout))
	if err != nil {
		return nil, fmt.Errorf("layout.html: %w", err)
	}
	set := templates{}
	var faults []error
	for _, v := range views {
		file := v.template() + ".html"
		body, err := src.read(file)
		if err != nil {
			return nil, err
		}
		t, err := template.Must(base.Clone()).Parse(string(body))
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", file, err))
			continue
		}
		set[v.template()] = t
	}
	return set, errors.Join(faults...)
}

func (t templates) execute(p *page) ([]byte, error) {
	var b bytes.Buffer
	if err := t[p.View.template()].Execute(&b, p); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// rehearse shows every page and message once in every language, and looks up every message that a template names, so
// that an override with a misspelt field or message is refused at start.
func (r *Renderer) rehearse() error {
	now := time.Unix(0, 0).UTC()
	var faults []error
	for name, t := range r.views {
		for _, id := range messageIDs(t) {
			if r.catalogs[0].messages[id] == nil {
				faults = append(faults, fmt.Errorf("%s.html: there is no message %q", name, id))
			}
		}
	}
	for _, c := range r.catalogs {
		for _, v := range views {
			if _, err := r.views.execute(r.page(Frame{Language: c.tag.String()}, v, now)); err != nil {
				faults = append(faults, fmt.Errorf("the page %q in %s: %w", v.template(), c.tag, err))
			}
		}
		if _, err := r.RecoveryFile(c.tag.String(), nil, now); err != nil {
			faults = append(faults, err)
		}
		if _, _, _, err := r.CodeMail(c.tag.String(), CodeMail{}); err != nil {
			faults = append(faults, err)
		}
		for kind := range noticeWords {
			for _, link := range []string{"", "https://example.com"} {
				if _, _, _, err := r.NoticeMail(c.tag.String(), NoticeMail{Kind: kind, Link: link}); err != nil {
					faults = append(faults, err)
				}
			}
		}
		faults = append(faults, r.rehearsePhones(c.tag.String()))
	}
	_, _, stopped := r.StoppedMail(StoppedMail{By: "-"})
	_, _, help := r.HelpMail(HelpMail{Detail: "-"})
	faults = append(faults, stopped, help)
	return errors.Join(faults...)
}

// rehearsePhones words a text and a call of every kind.
func (r *Renderer) rehearsePhones(lang string) error {
	_, code := r.CodeText(lang, CodeText{})
	_, _, call := r.CodeCall(lang, CodeCall{})
	faults := []error{code, call}
	for kind := range noticeWords {
		_, notice := r.NoticeText(lang, NoticeText{Kind: kind})
		_, coded := r.NoticeText(lang, NoticeText{Kind: kind, Code: "-", Page: "-"})
		faults = append(faults, notice, coded)
	}
	return errors.Join(faults...)
}

// messageIDs lists the messages that a template says by name, in all its branches.
func messageIDs(t *template.Template) []string {
	var ids []string
	for _, t := range t.Templates() {
		if t.Tree == nil || t.Tree.Root == nil {
			continue
		}
		walk(t.Tree.Root, func(c *parse.CommandNode) {
			if len(c.Args) < 2 {
				return
			}
			var method string
			switch f := c.Args[0].(type) {
			case *parse.FieldNode:
				method = f.Ident[len(f.Ident)-1]
			case *parse.VariableNode:
				method = f.Ident[len(f.Ident)-1]
			}
			if s, ok := c.Args[1].(*parse.StringNode); ok && (method == "T" || method == "Say") {
				ids = append(ids, s.Text)
			}
		})
	}
	return ids
}

func walk(n parse.Node, visit func(*parse.CommandNode)) {
	branch := func(b *parse.BranchNode) {
		walk(b.Pipe, visit)
		walk(b.List, visit)
		if b.ElseList != nil {
			walk(b.ElseList, visit)
		}
	}
	switch n := n.(type) {
	case *parse.ListNode:
		for _, child := range n.Nodes {
			walk(child, visit)
		}
	case *parse.ActionNode:
		walk(n.Pipe, visit)
	case *parse.IfNode:
		branch(&n.BranchNode)
	case *parse.RangeNode:
		branch(&n.BranchNode)
	case *parse.WithNode:
		branch(&n.BranchNode)
	case *parse.TemplateNode:
		if n.Pipe != nil {
			walk(n.Pipe, visit)
		}
	case *parse.PipeNode:
		for _, c := range n.Cmds {
			walk(c, visit)
		}
	case *parse.CommandNode:
		visit(n)
		for _, arg := range n.Args {
			walk(arg, visit)
		}
	}
}
