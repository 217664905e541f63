// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"bytes"
	"encoding/json"
	"net"

	"mcdtest/stub/jsonwire"
)

// jsonLink follows a connection in the JSON dialect, so that a fault can change requests and replies. What no hook changes
// goes through byte by byte as it came.
type jsonLink struct {
	hooks jsonHooks
	local *mailbox

	client *jsonwire.Splitter // of what the client writes
	raw    []byte             // of the client's object in progress, if a hook wants whole objects
	stub   *jsonwire.Splitter // of what is sent to the stub
	line   []byte             // of the stub's line in progress

	asked []*call // requests, and mistakes as nil, that are not answered yet
}

// call is a request of a client, or what could be read of it.
type call struct {
	name string
	args map[string]any
	raw  []byte
}

// jsonHooks are the ways in which a fault gets hold of a connection. All may be nil.
type jsonHooks struct {
	// chunk changes what the client writes in one go.
	chunk func(p []byte) []byte
	// request changes an object of the client's.
	request func(l *jsonLink, c *call) []byte
	// reply changes a line of the stub's; c is nil if it answers a mistake.
	reply func(l *jsonLink, c *call, line []byte) []byte
	// farewell gives what is sent before the client closes.
	farewell func() []byte
}

// objects makes connections with hooks. make is called once for every connection.
func objects(make func() jsonHooks) func() ConnWrapper {
	return func() ConnWrapper {
		return func(c net.Conn) net.Conn {
			l := &jsonLink{hooks: make(), local: new(mailbox), client: jsonwire.NewSplitter(0), stub: jsonwire.NewSplitter(jsonwire.MaxRequest)}
			return &conn{Conn: c, stream: l, local: l.local}
		}
	}
}

// readCall reads an object. It returns one without a name if that is no request.
func readCall(obj []byte) *call {
	c := &call{raw: bytes.Clone(obj)}
	var r struct {
		Execute   string         `json:"execute"`
		Arguments map[string]any `json:"arguments"`
	}
	d := json.NewDecoder(bytes.NewReader(obj))
	d.UseNumber() // addresses have 64 bits
	if d.Decode(&r) == nil {
		c.name, c.args = r.Execute, r.Arguments
	}
	return c
}

// encode writes the request as a client would that has other arguments.
func (c *call) encode() []byte {
	var r map[string]any
	d := json.NewDecoder(bytes.NewReader(c.raw))
	d.UseNumber()
	if d.Decode(&r) != nil {
		return c.raw
	}
	r["execute"] = c.name
	if c.args != nil {
		r["arguments"] = c.args
	}
	text, err := json.Marshal(r)
	if err != nil {
		return c.raw
	}
	return text
}

func (l *jsonLink) up(p []byte) []byte {
	if l.hooks.chunk != nil {
		p = l.hooks.chunk(bytes.Clone(p))
	}
	if l.hooks.request != nil {
		p = l.objects(p)
	}
	for rest := p; len(rest) > 0; {
		n, ev := l.stub.Next(rest)
		rest = rest[n:]
		switch ev {
		case jsonwire.NeedMore:
		case jsonwire.Complete:
			l.asked = append(l.asked, readCall(l.stub.Object()))
		default:
			l.asked = append(l.asked, nil)
		}
	}
	return p
}

// objects has the hook change what the client writes. An object in progress waits until it is complete.
func (l *jsonLink) objects(p []byte) []byte {
	var out []byte
	for len(p) > 0 {
		n, ev := l.client.Next(p)
		l.raw = append(l.raw, p[:n]...)
		p = p[n:]
		switch {
		case ev == jsonwire.Complete:
			c := readCall(l.client.Object())
			if to := l.hooks.request(l, c); !bytes.Equal(to, c.raw) {
				out = append(out, to...)
			} else {
				out = append(out, l.raw...)
			}
			l.raw = nil
		case ev != jsonwire.NeedMore || !l.client.Inside():
			out = append(out, l.raw...)
			l.raw = nil
		}
	}
	return out
}

func (l *jsonLink) down(p []byte) []byte {
	var out []byte
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			l.line = append(l.line, p...)
			break
		}
		l.line = append(l.line, p[:i+1]...)
		p = p[i+1:]
		var c *call
		if len(l.asked) > 0 {
			c, l.asked = l.asked[0], l.asked[1:]
		}
		if l.hooks.reply != nil {
			out = append(out, l.hooks.reply(l, c, l.line)...)
		} else {
			out = append(out, l.line...)
		}
		l.line = nil
	}
	return out
}

func (l *jsonLink) rest() []byte {
	p := l.line
	l.line = nil
	return p
}

func (l *jsonLink) farewell() []byte {
	if l.hooks.farewell == nil {
		return nil
	}
	return l.hooks.farewell()
}

// object is a JSON object that has been read.
type object = map[string]any

// in walks to an object inside another one; it is nil if there is none.
func in(o object, keys ...string) object {
	for _, k := range keys {
		o, _ = o[k].(object)
	}
	return o
}

// elements are the objects of a list.
func elements(o object, key string) []object {
	list, _ := o[key].([]any)
	var objects []object
	for _, e := range list {
		if e, ok := e.(object); ok {
			objects = append(objects, e)
		}
	}
	return objects
}

// number is the value of a key, 0 if it is not there or no number.
func number(o object, key string) int64 {
	n, _ := o[key].(json.Number)
	v, _ := n.Int64()
	return v
}

// add changes a number.
func add(o object, key string, by int64) {
	if _, ok := o[key].(json.Number); ok {
		o[key] = number(o, key) + by
	}
}

// calls is for faults that change the arguments of commands with these names, of all if there are none. edit reports
// whether it has changed anything.
func calls(names []string, edit func(args object) bool) func() ConnWrapper {
	return objects(func() jsonHooks {
		return jsonHooks{request: func(_ *jsonLink, c *call) []byte {
			if c.args != nil && named(names, c.name) && edit(c.args) {
				return c.encode()
			}
			return c.raw
		}}
	})
}

func named(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return len(names) == 0
}

// returns is for faults that change what commands with these names return, of all if there are none. edit reports whether
// it has changed anything.
func returns(names []string, edit func(args, result object) bool) func() ConnWrapper {
	return objects(func() jsonHooks {
		return jsonHooks{reply: func(_ *jsonLink, c *call, line []byte) []byte {
			if c == nil || !named(names, c.name) {
				return line
			}
			return editReturn(line, func(result object) bool { return edit(c.args, result) })
		}}
	})
}

func editReturn(line []byte, edit func(result object) bool) []byte {
	return editReply(line, func(reply object) bool {
		result := in(reply, "return")
		return result != nil && edit(result)
	})
}

// editReply has the whole of a reply changed.
func editReply(line []byte, edit func(reply object) bool) []byte {
	var reply object
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if d.Decode(&reply) != nil || !edit(reply) {
		return line
	}
	text, err := json.Marshal(reply)
	if err != nil {
		return line
	}
	return append(text, '\n')
}

// succeeded reports whether a result is that of a command that was carried out.
func succeeded(result object) bool { return number(result, "return-status") == 0 }
