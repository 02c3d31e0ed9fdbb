package pages

import "testing"

func TestNewAcceptsTheBuiltInFiles(t *testing.T) {
	if _, err := New(Config{Brand: Brand{Name: "Example"}, Languages: []string{"en", "ja"}}); err != nil {
		t.Fatal(err)
	}
}
