// SPDX-License-Identifier: Apache-2.0

package gdbtarget

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"mcdtest/stub/rsp"
	"mcdtest/stub/target"
)

// description is what target.xml and its parts say of one core type.
type description struct {
	groups    []target.RegisterGroup
	registers []target.Register
}

// parts are the texts of a description, by their names.
type parts map[string][]byte

const targetXML = "target.xml"

// add takes in replies to the packets that read what follows of a part, in pieces of the given size. It returns the parts that have to
// be read, or to be read on, and are not known yet.
func (p parts) add(annex string, replies []string, piece int) (missing []string, err error) {
	for _, reply := range replies {
		text, last, err := rsp.XferReply([]byte(reply))
		if err != nil {
			return nil, fmt.Errorf("%s from byte %d on: %w", annex, len(p[annex]), err)
		}
		p[annex] = append(p[annex], text...)
		if last {
			for _, part := range includes(p[annex]) {
				if _, known := p[part]; !known {
					p[part] = nil
					missing = append(missing, part)
				}
			}
			return missing, nil
		}
		if len(text) != piece {
			break // what follows it is not what was asked for next
		}
	}
	return []string{annex}, nil
}

// includes lists the parts that a part of a target description includes, as far as it can be read.
func includes(text []byte) []string {
	if !bytes.Contains(text, []byte("include")) {
		return nil // as all but target.xml
	}
	dec := xml.NewDecoder(bytes.NewReader(text))
	dec.Strict = false
	var list []string
	for {
		tok, err := dec.RawToken()
		if err != nil {
			return list
		}
		if el, ok := tok.(xml.StartElement); ok && el.Name.Local == "include" {
			list = append(list, attr(el, "href"))
		}
	}
}

func attr(el xml.StartElement, name string) string {
	for _, a := range el.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// parseDescription reads target.xml and what it includes. Registers are numbered in document order unless regnum says
// otherwise, across features, as GDB does it. QEMU's files use an undeclared xi: prefix and have comments that hold <reg>
// elements, so a real XML reader is needed, and one that is not strict.
func parseDescription(p parts) (*description, error) {
	d := &description{}
	next := 0
	if err := d.parse(p, targetXML, &next, 0); err != nil {
		return nil, err
	}
	if len(d.registers) == 0 {
		return nil, errors.New("the target description lists no registers")
	}
	return d, nil
}

func (d *description) parse(p parts, annex string, next *int, depth int) error {
	if depth > 4 {
		return fmt.Errorf("target description: %s is included too deeply", annex)
	}
	text, ok := p[annex]
	if !ok {
		return fmt.Errorf("target description: %s is included and was not read", annex)
	}
	dec := xml.NewDecoder(bytes.NewReader(text))
	dec.Strict = false
	for {
		tok, err := dec.RawToken()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("target description %s: %w", annex, err)
		}
		el, ok := tok.(xml.StartElement)
		if !ok {
			continue
		}
		switch el.Name.Local {
		case "include":
			if err := d.parse(p, attr(el, "href"), next, depth+1); err != nil {
				return err
			}
		case "feature":
			d.groups = append(d.groups, target.RegisterGroup{Name: attr(el, "name")})
		case "reg":
			if len(d.groups) == 0 {
				d.groups = append(d.groups, target.RegisterGroup{Name: strings.TrimSuffix(annex, ".xml")})
			}
			bits, err := strconv.Atoi(attr(el, "bitsize"))
			if err != nil || bits <= 0 {
				return fmt.Errorf("target description %s: register %q has bitsize %q", annex, attr(el, "name"), attr(el, "bitsize"))
			}
			if s := attr(el, "regnum"); s != "" {
				if *next, err = strconv.Atoi(s); err != nil {
					return fmt.Errorf("target description %s: register %q has regnum %q", annex, attr(el, "name"), s)
				}
			}
			d.registers = append(d.registers, target.Register{
				Number: *next, Name: attr(el, "name"), Bits: bits, Group: len(d.groups) - 1,
			})
			*next++
		}
	}
}
