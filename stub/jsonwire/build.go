// SPDX-License-Identifier: Apache-2.0

package jsonwire

import "strconv"

// Use says what becomes of an argument in AppendArgs.
type Use uint8

// Uses.
const (
	Default Use = iota // a value of the right type: 0, "", false, an object, a list of one element, the first of a Union
	Raw                // the text that was returned, whatever it is
	Omit               // the key is left out
)

// AppendArgs renders an object of the arguments, right or wrong. choose is asked for each, the outermost first, with the
// way to it ("txlist", "txlist.tx", "txlist.tx[0]", "txlist.tx[0].addr", …), and says what to put there. With it hostile
// input can be generated for every argument of every command: give one argument a wrong value and the others a good one.
func AppendArgs(dst []byte, args []Arg, choose func(way string, a *Arg) (text string, use Use)) []byte {
	return appendArgs(dst, "", args, false, choose)
}

func appendArgs(dst []byte, prefix string, args []Arg, union bool, choose func(string, *Arg) (string, Use)) []byte {
	dst = append(dst, '{')
	first := true
	for i := range args {
		a := &args[i]
		way := prefix + a.Name
		text, use := choose(way, a)
		if use == Omit || use == Default && union && i > 0 {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendString(dst, a.Name)
		dst = append(dst, ':')
		dst = appendArg(dst, way, a, text, use, choose)
	}
	return append(dst, '}')
}

func appendArg(dst []byte, way string, a *Arg, text string, use Use, choose func(string, *Arg) (string, Use)) []byte {
	if use == Raw {
		return append(dst, text...)
	}
	switch a.Kind {
	case String:
		return append(dst, `""`...)
	case Bool:
		return append(dst, "false"...)
	case Object, Union:
		return appendArgs(dst, way+".", a.Fields, a.Kind == Union, choose)
	case ByteArray:
		return append(dst, "[0]"...)
	case List:
		way += "[0]"
		text, use := choose(way, a.Elem)
		if use == Omit {
			return append(dst, "[]"...)
		}
		dst = append(dst, '[')
		dst = appendArg(dst, way, a.Elem, text, use, choose)
		return append(dst, ']')
	}
	return strconv.AppendUint(dst, 0, 10)
}
