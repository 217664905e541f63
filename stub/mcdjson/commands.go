// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"fmt"

	"mcdtest/stub/jsonwire"
)

const commandCount = 33

// handler carries one command out. args and result are what the command's NewArgs and NewResult make.
type handler func(s *session, args, result any) error

// handlers is in the order of jsonwire.Commands.
var handlers = dispatch(map[string]handler{
	jsonwire.Initialize:      on(initialize),
	jsonwire.Exit:            on(exit),
	jsonwire.QryServers:      on(qryServers),
	jsonwire.OpenServer:      on(openServer),
	jsonwire.CloseServer:     on(closeServer),
	jsonwire.QrySystems:      on(qrySystems),
	jsonwire.QryDevices:      on(qryDevices),
	jsonwire.QryCores:        on(qryCores),
	jsonwire.OpenCore:        on(openCore),
	jsonwire.CloseCore:       on(closeCore),
	jsonwire.QryErrorInfo:    on(qryErrorInfo),
	jsonwire.QryMemSpaces:    on(qryMemSpaces),
	jsonwire.QryRegGroups:    on(qryRegGroups),
	jsonwire.QryRegMap:       on(qryRegMap),
	jsonwire.ExecuteTxList:   on(executeTxList),
	jsonwire.Run:             on(run),
	jsonwire.Stop:            on(stop),
	jsonwire.Step:            on(step),
	jsonwire.SetGlobal:       on(setGlobal),
	jsonwire.QryState:        on(qryState),
	jsonwire.QryRstClasses:   on(qryRstClasses),
	jsonwire.QryRstClassInfo: on(qryRstClassInfo),
	jsonwire.Rst:             on(rst),
	jsonwire.QryTrigInfo:     on(qryTrigInfo),
	jsonwire.QryCtrigs:       on(qryCtrigs),
	jsonwire.CreateTrig:      on(createTrig),
	jsonwire.QryTrig:         on(qryTrig),
	jsonwire.RemoveTrig:      on(removeTrig),
	jsonwire.QryTrigState:    on(qryTrigState),
	jsonwire.ActivateTrigSet: on(activateTrigSet),
	jsonwire.RemoveTrigSet:   on(removeTrigSet),
	jsonwire.QryTrigSet:      on(qryTrigSet),
	jsonwire.QryTrigSetState: on(qryTrigSetState),
})

func on[A, R any](f func(s *session, args *A, result *R) error) handler {
	return func(s *session, args, result any) error {
		r := result.(*R)
		var none R
		*r = none
		return f(s, args.(*A), r)
	}
}

func dispatch(byName map[string]handler) (list [commandCount]handler) {
	if len(jsonwire.Commands) != commandCount || len(byName) != commandCount {
		panic(fmt.Sprintf("mcdjson: %d handlers for %d commands, expected %d", len(byName), len(jsonwire.Commands), commandCount))
	}
	for i, c := range jsonwire.Commands {
		if list[i] = byName[c.Name]; list[i] == nil {
			panic("mcdjson: no handler for " + c.Name)
		}
	}
	return list
}

// Unsupported lists what a stock QEMU cannot do and the dialect therefore answers with 0x100. Every command can be used;
// these are uses of a command.
func Unsupported() []string {
	return []string{
		"mcd-step with step-type 1: QEMU's gdbstub steps instructions, not cycles",
		"mcd-create-trig with an action other than 1: a breakpoint of QEMU's gdbstub stops the core and does nothing else",
		"mcd-create-trig with an option other than 1 and 2 (hardware or software): a breakpoint of QEMU's gdbstub has an address only",
	}
}
