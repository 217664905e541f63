// SPDX-License-Identifier: Apache-2.0

package packet

import "mcdtest/stub/wire"

// handler carries a well-formed request out and appends its reply.
type handler func(*session, *args)

// handlers belongs to the entries of wire.Requests.
var handlers = byRequest(map[string]handler{
	wire.OpenServer:       openServer,
	wire.CloseServer:      closeServer,
	wire.OpenCore:         openCore,
	wire.CloseCore:        closeCore,
	wire.Kill:             kill,
	wire.Go:               resume,
	wire.Step:             step,
	wire.Break:            stop,
	wire.Reset:            reset,
	wire.ReadRegister:     readRegister,
	wire.WriteRegister:    writeRegister,
	wire.ReadMemory:       readMemory,
	wire.WriteMemory:      writeMemory,
	wire.InsertTrigger:    insertTrigger,
	wire.RemoveTrigger:    removeTrigger,
	wire.QuerySystem:      querySystem,
	wire.QueryCores:       queryCores,
	wire.QueryResetFirst:  queryResetFirst,
	wire.QueryResetNext:   queryResetNext,
	wire.QueryTrigger:     queryTrigger,
	wire.QueryMemoryFirst: queryMemoryFirst,
	wire.QueryMemoryNext:  queryMemoryNext,
	wire.QueryGroupFirst:  queryGroupFirst,
	wire.QueryGroupNext:   queryGroupNext,
	wire.QueryRegFirst:    queryRegFirst,
	wire.QueryRegNext:     queryRegNext,
	wire.QueryState:       queryState,
})

func byRequest(byName map[string]handler) map[*wire.Request]handler {
	m := make(map[*wire.Request]handler, len(byName))
	for i := range wire.Requests {
		r := &wire.Requests[i]
		if byName[r.Name] == nil {
			panic("packet: no handler for the request " + r.Name)
		}
		m[r] = byName[r.Name]
	}
	return m
}

// request answers one payload. Unknown and malformed requests get the empty packet.
func (s *session) request(payload []byte) {
	r, rest := wire.Match(payload)
	if r == nil {
		s.reply("")
		return
	}
	var ok bool
	if s.args, ok = parseArgs(r.Args, rest); !ok {
		s.reply("")
		return
	}
	handlers[r](s, &s.args)
}
