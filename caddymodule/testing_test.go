package caddymodule

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

type duration = time.Duration

const (
	second = time.Second
	minute = time.Minute
	hour   = time.Hour
)

func sameJSON(t *testing.T, a, b any) bool {
	t.Helper()
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	if errX != nil || errY != nil {
		t.Fatal(errX, errY)
	}
	return string(x) == string(y)
}

// zeroFields names the fields that have their zero value.
func zeroFields(v any) []string {
	var names []string
	for field, value := range reflect.ValueOf(v).Fields() {
		if value.IsZero() {
			names = append(names, field.Name)
		}
	}
	return names
}
