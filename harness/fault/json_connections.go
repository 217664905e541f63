// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"bytes"
	"net"
	"sync"

	"mcdtest/stub/jsonwire"
)

// Faults of connections in the JSON dialect: what one client leaves behind for the next.

// serverStaysOpen answers the next client that the server is open already, if a client has left without closing it.
func serverStaysOpen() ConnWrapper {
	var mu sync.Mutex
	open := false
	return func(c net.Conn) net.Conn {
		mine := false // this client has opened it
		return objects(func() jsonHooks {
			return jsonHooks{reply: func(_ *jsonLink, c *call, line []byte) []byte {
				if c == nil {
					return line
				}
				mu.Lock()
				defer mu.Unlock()
				return editReturn(line, func(result object) bool {
					switch {
					case !succeeded(result):
					case c.name == jsonwire.OpenServer && open && !mine:
						clear(result)
						result["return-status"] = jsonwire.RetActHandleError
						return true
					case c.name == jsonwire.OpenServer:
						open, mine = true, true
					case c.name == jsonwire.CloseServer, c.name == jsonwire.Exit:
						open, mine = false, false
					}
					return false
				})
			}}
		})()(c)
	}
}

// objectForNext puts the object that a client has begun in front of what the next one sends.
func objectForNext() ConnWrapper {
	var begun leftover
	return func(c net.Conn) net.Conn {
		s := jsonwire.NewSplitter(0)
		start := begun.get()
		begun.set(nil)
		var kept []byte // of the object in progress
		return objects(func() jsonHooks {
			return jsonHooks{
				chunk: func(p []byte) []byte {
					p = append(start, p...)
					start = nil
					for rest := p; len(rest) > 0; {
						n, ev := s.Next(rest)
						kept = append(kept, rest[:n]...)
						rest = rest[n:]
						if ev != jsonwire.NeedMore || !s.Inside() {
							kept = nil
						}
					}
					return p
				},
				farewell: func() []byte {
					begun.set(kept)
					return nil
				},
			}
		})()(c)
	}
}

// repeatedKeyHangsUp closes the connection when an object has a key twice, as a parser that dies of it does.
func repeatedKeyHangsUp() ConnWrapper {
	return hangsUpOn(func(c *call) bool { return repeatedKey(c.raw) })
}

// unknownHangsUp closes the connection when a command is unknown.
func unknownHangsUp() ConnWrapper {
	return hangsUpOn(func(c *call) bool { return jsonwire.Lookup(c.name) == nil })
}

func hangsUpOn(bad func(c *call) bool) ConnWrapper {
	return func(conn net.Conn) net.Conn {
		return objects(func() jsonHooks {
			return jsonHooks{request: func(_ *jsonLink, c *call) []byte {
				if bad(c) {
					conn.Close()
				}
				return c.raw
			}}
		})()(conn)
	}
}

// silentOnMistake says nothing more after something that is no request.
func silentOnMistake() ConnWrapper {
	return func(conn net.Conn) net.Conn {
		silent := false
		return objects(func() jsonHooks {
			return jsonHooks{reply: func(_ *jsonLink, _ *call, line []byte) []byte {
				if silent {
					return nil
				}
				silent = bytes.HasPrefix(line, []byte(`{"error"`))
				return line
			}}
		})()(conn)
	}
}
