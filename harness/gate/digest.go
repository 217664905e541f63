// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"mcdtest/harness/exchange"
	"mcdtest/harness/result"
	"mcdtest/harness/transcript"
)

// digest is what is compared of the conversations of one run of one spec. Requests and replies are in a canonical form:
// how bytes were cut into chunks is gone, and so is the order of the keys of a JSON object.
type digest struct {
	texts   texts
	exact   map[string]*asked // by request
	shapes  map[string]*asked // by request without data that is written
	names   map[string]bool   // of the requests
	took    map[string][]time.Duration
	partial bool // the beginning of the conversation was not kept
}

// asked is a request and the replies that it got. A request that is repeated while nothing is asked of the stub that
// would change anything is polling: how often, and what came before the last reply, is a matter of time.
type asked struct {
	name    string
	replies map[string]bool // in canonical form
}

func (a *asked) set() string {
	list := make([]string, 0, len(a.replies))
	for r := range a.replies {
		list = append(list, r)
	}
	slices.Sort(list)
	return strings.Join(list, "\x00")
}

// texts keeps one copy of each text. Most of what specs say is the same in all of them.
type texts map[string]string

func (t texts) one(text string) string {
	if have, ok := t[text]; ok {
		return have
	}
	text = strings.Clone(text)
	t[text] = text
	return text
}

// newDigest reads the transcripts of a spec.
func newDigest(ev *result.Evidence, texts texts) (*digest, error) {
	d := &digest{texts: texts, exact: make(map[string]*asked), shapes: make(map[string]*asked), names: make(map[string]bool), took: make(map[string][]time.Duration)}
	for _, m := range ev.Machines {
		entries, err := transcript.Parse(strings.NewReader(m.Transcript))
		if err != nil {
			return nil, err
		}
		d.partial = d.partial || len(entries) > 0 && strings.HasSuffix(entries[0].Text, "entries are left out)")
		// A comment, such as a change of the run state, may come between a request and its reply, or behind it.
		entries = slices.DeleteFunc(entries, func(e transcript.Entry) bool { return e.Kind == transcript.Comment })
		d.machine(exchange.Pair(entries))
	}
	return d, nil
}

// once is a request with the last reply to it.
type once struct {
	name, exact, shape string
	reply              []byte
	superseded         bool
}

func (d *digest) machine(list []exchange.Exchange) {
	var all []*once
	polled := make(map[string]*once) // since the last request that may have changed something
	for _, x := range list {
		switch {
		case x.Closed == "stub" && len(all) > 0:
			last := all[len(all)-1]
			last.reply = append(slices.Clip(last.reply), endOfStream...)
			continue
		case x.Closed != "":
			continue
		}
		o := &once{name: x.Name, reply: x.Answer}
		o.exact, o.shape = canonicalRequest(x.Name, x.Sent)
		if x.Name != "" {
			name := d.texts.one(x.Name)
			d.names[name] = true
			if len(x.Answer) > 0 {
				d.took[name] = append(d.took[name], x.Took)
			}
		}
		if !reads(x.Name) {
			clear(polled)
		} else if before := polled[o.exact]; before != nil {
			before.superseded = true
		}
		if reads(x.Name) {
			polled[o.exact] = o
		}
		all = append(all, o)
	}
	for _, o := range all {
		if o.superseded {
			continue
		}
		reply, shape := canonicalReply(o.reply)
		d.add(d.exact, o.exact, o.name, reply)
		d.add(d.shapes, o.shape, o.name, shape)
	}
}

// endOfStream stands behind the last bytes of a stub that closes the connection.
const endOfStream = " EOF"

func (d *digest) add(to map[string]*asked, request, name, reply string) {
	a := to[request]
	if a == nil {
		a = &asked{name: d.texts.one(name), replies: make(map[string]bool)}
		to[d.texts.one(request)] = a
	}
	a.replies[d.texts.one(reply)] = true
}

// reads reports whether a request changes nothing, so that one of the same kind behind it is polling.
func reads(name string) bool {
	return name == "p" || name == "m" || strings.HasPrefix(name, "q") || strings.HasPrefix(name, "mcd-qry-")
}

// canonicalRequest is a request as it is compared, and without data that may depend on what was read before.
func canonicalRequest(name string, sent []byte) (exact, shape string) {
	if len(sent) == 0 {
		return "(unasked)", "(unasked)"
	}
	if v, ok := decode(sent); ok {
		return encode(v), encode(shapeOf(v))
	}
	exact = string(transcript.AppendEscaped(nil, sent))
	shape = exact
	if name == "M" || name == "P" {
		if i := strings.LastIndexByte(exact, ';'); i >= 0 {
			shape = exact[:i] + ";" + hexDigits.ReplaceAllStringFunc(exact[i+1:], bytesShape)
		}
	}
	return exact, shape
}

var (
	hexDigits = regexp.MustCompile(`^(?:[0-9a-fA-F]{2})+`)
	numbers   = regexp.MustCompile(`(?:0x)?[0-9]+`)
	hexReply  = regexp.MustCompile(`^(?:[0-9a-fA-F]{2})+$`)
)

func bytesShape(hex string) string { return "<" + strconv.Itoa(len(hex)/2) + " bytes>" }

// canonicalReply is a reply as it is compared, and its shape: without values.
func canonicalReply(p []byte) (exact, shape string) {
	text, eof := bytes.CutSuffix(p, []byte(endOfStream))
	end := ""
	if eof {
		end = endOfStream
	}
	if v, ok := decode(text); ok {
		end = string(transcript.AppendEscaped(nil, text[len(bytes.TrimRight(text, "\r\n")):])) + end
		return encode(v) + end, encode(shapeOf(v)) + end
	}
	exact = string(transcript.AppendEscaped(nil, text))
	r := parseReply(exact)
	for i, payload := range r.packets {
		r.packets[i] = payloadShape(payload)
	}
	return exact + end, r.text() + end
}

func payloadShape(payload string) string {
	if hexReply.MatchString(payload) {
		return bytesShape(payload)
	}
	if f := parseFields(payload); f != nil {
		for i := range f.pairs {
			f.pairs[i].value = numbers.ReplaceAllString(f.pairs[i].value, "N")
		}
		if f.handle != "" && f.handle != "0" {
			f.handle = "N"
		}
		return f.text()
	}
	return payload
}

// reply is what a stub of the packet dialect sent, in its parts: packets, and what stands around them.
type reply struct {
	frame   string // the bytes around the payloads: "+$#|"
	packets []string
}

func parseReply(text string) reply {
	var r reply
	for {
		begin := strings.IndexByte(text, '$')
		if begin < 0 {
			break
		}
		length := strings.IndexByte(text[begin:], '#')
		if length < 0 {
			break
		}
		r.frame += text[:begin+1]
		r.packets = append(r.packets, text[begin+1:begin+length])
		text = text[begin+length:]
	}
	r.frame += text
	return r
}

func (r reply) text() string {
	var b strings.Builder
	i := 0
	for _, c := range r.frame {
		b.WriteRune(c)
		if c == '$' && i < len(r.packets) {
			b.WriteString(r.packets[i])
			i++
		}
	}
	return b.String()
}

// fields is a payload that is a run of key=value. pairs, perhaps behind the handle of a list.
type fields struct {
	handle string
	pairs  []pair
}

type pair struct{ key, value string }

var (
	fieldsForm = regexp.MustCompile(`^(?:([0-9]+)!)?((?:[A-Za-z_]+=[^.=]*\.)+)$`)
	onePair    = regexp.MustCompile(`([A-Za-z_]+)=([^.=]*)\.`)
)

// parseFields returns nil for another payload.
func parseFields(payload string) *fields {
	m := fieldsForm.FindStringSubmatch(payload)
	if m == nil {
		return nil
	}
	f := &fields{handle: m[1]}
	for _, p := range onePair.FindAllStringSubmatch(m[2], -1) {
		f.pairs = append(f.pairs, pair{p[1], p[2]})
	}
	return f
}

func (f *fields) text() string {
	var b strings.Builder
	if f.handle != "" {
		b.WriteString(f.handle + "!")
	}
	for _, p := range f.pairs {
		b.WriteString(p.key + "=" + p.value + ".")
	}
	return b.String()
}

// decode reads one JSON object.
func decode(p []byte) (any, bool) {
	if len(p) == 0 || bytes.TrimLeft(p, " \t\r\n")[:1][0] != '{' {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(p))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil || len(bytes.TrimSpace(p[d.InputOffset():])) > 0 {
		return nil, false
	}
	return v, true
}

// encode writes what decode read, with the keys in order.
func encode(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error() // decode made v, so it can be encoded
	}
	return string(text)
}

// shapeOf replaces numbers, and lists of them.
func shapeOf(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for key, value := range v {
			if key == "return-status" { // a verdict, not a value
				m[key] = value
				continue
			}
			m[key] = shapeOf(value)
		}
		return m
	case []any:
		list := make([]any, len(v))
		numbers := len(v) > 0
		for i := range v {
			list[i] = shapeOf(v[i])
			numbers = numbers && list[i] == "N"
		}
		if numbers {
			return "<" + strconv.Itoa(len(v)) + " N>"
		}
		return list
	case json.Number:
		return "N"
	}
	return v
}
