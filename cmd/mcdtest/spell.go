// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"mcdtest/stub/jsonwire"
)

// speller says what the numbers in a reply of the JSON dialect stand for, by their keys.
type speller map[string]reflect.Type

// newSpeller knows the codes that a reply to the command may have.
func newSpeller(c *jsonwire.Command) speller {
	s := speller{"return-status": reflect.TypeFor[jsonwire.ReturnStatus]()}
	s.learn(reflect.TypeOf(c.NewResult()))
	return s
}

func (s speller) learn(t reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		s.learn(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			field := t.Field(i)
			key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if field.Type.Kind() == reflect.Uint32 && field.Type.Implements(reflect.TypeFor[fmt.Stringer]()) {
				s[key] = field.Type
				continue
			}
			s.learn(field.Type)
		}
	}
}

// spell adds to a line of indented JSON what its number stands for.
func (s speller) spell(line string) string {
	key, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
	t, known := s[strings.Trim(key, `"`)]
	number, err := strconv.ParseUint(strings.TrimSuffix(value, ","), 10, 32)
	if !ok || !known || err != nil {
		return line
	}
	return fmt.Sprintf("%s  %v", line, reflect.ValueOf(uint32(number)).Convert(t).Interface())
}
