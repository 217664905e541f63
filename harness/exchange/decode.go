// SPDX-License-Identifier: Apache-2.0

package exchange

import (
	"encoding/hex"
	"fmt"
	"strings"

	"mcdtest/stub/wire"
)

// Decode says in lines of text what the answer to a request of the packet dialect means; nothing if the bytes speak for
// themselves. bigEndian is the byte order of numbers in memory and registers.
func Decode(x Exchange, bigEndian bool) []string {
	request, _ := wire.Match([]byte(payload(x.Sent)))
	if request == nil && x.Name != "" {
		return nil
	}
	d := wire.NewDecoder(0)
	var lines []string
	for rest := x.Answer; len(rest) > 0; {
		n, ev := d.Next(rest)
		rest = rest[n:]
		switch ev {
		case wire.NackByte:
			lines = append(lines, "refused: the packet was malformed; it may be sent again")
		case wire.Packet:
			lines = append(lines, decodeReply(request, string(d.Payload()), bigEndian)...)
		}
	}
	return lines
}

// payload is that of the first packet in what was sent.
func payload(sent []byte) string {
	d := wire.NewDecoder(0)
	if _, ev := d.Next(sent); ev == wire.Packet {
		return string(d.Payload())
	}
	return ""
}

func decodeReply(r *wire.Request, reply string, bigEndian bool) []string {
	switch {
	case reply == "":
		if r == nil {
			return []string{"unknown request"}
		}
		if r.Reply == wire.Hex && r.Name == wire.ReadMemory {
			return []string{"no bytes, or the request was malformed"}
		}
		return []string{"refused: the request was malformed, or there is no such thing"}
	case reply == wire.Failure:
		return []string{"refused"}
	case r == nil:
		return nil
	}
	switch r.Reply {
	case wire.Hex:
		return decodeHex(reply, bigEndian)
	case wire.Fields:
		return decodeFields(reply)
	case wire.List:
		handle, element, ok := strings.Cut(reply, "!")
		if !ok {
			return []string{"not an element of a list: there is no '!'"}
		}
		next := "the last element"
		if handle != "0" {
			next = "more with handle " + handle
		}
		return append(decodeFields(element), "("+next+")")
	}
	return nil
}

func decodeFields(text string) []string {
	var lines []string
	for _, pair := range strings.Split(strings.TrimSuffix(text, "."), ".") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			lines = append(lines, fmt.Sprintf("%q is no key=value", pair))
			continue
		}
		if note := explain(key, value); note != "" {
			value += "  (" + note + ")"
		}
		lines = append(lines, strings.TrimRight(fmt.Sprintf("%-10s %s", key, value), " "))
	}
	return lines
}

// explain says what a number of a reply stands for.
func explain(key, value string) string {
	switch {
	case key == "address" && value != "0":
		var addr uint64
		if _, err := fmt.Sscan(value, &addr); err == nil {
			return fmt.Sprintf("%#x", addr)
		}
	case key == "e" && value == "1":
		return "little-endian"
	case key == "e" && value == "2":
		return "big-endian"
	case key == "max" && (value == "-1" || value == "18446744073709551615"):
		return "2^64-1"
	case key == "type":
		return map[string]string{"34": "logical, program", "18": "physical, program"}[value]
	}
	return ""
}

// decodeHex shows bytes, and the number that they are if they are as many as a number has.
func decodeHex(digits string, bigEndian bool) []string {
	p, err := hex.DecodeString(digits)
	if err != nil {
		return []string{fmt.Sprintf("not hex: %v", err)}
	}
	switch len(p) {
	case 1, 2, 4, 8:
		var v uint64
		for i := range p {
			if bigEndian {
				v = v<<8 | uint64(p[i])
			} else {
				v = v<<8 | uint64(p[len(p)-1-i])
			}
		}
		return []string{fmt.Sprintf("0x%0*x  %d", 2*len(p), v, v)}
	}
	return strings.Split(strings.TrimSuffix(hex.Dump(p), "\n"), "\n")
}
