// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"strings"

	"mcdtest/stub/wire"
)

func pass(_ *packetLink, _ wire.Event, raw []byte) []byte { return raw }

// asked is an exchange of packets in which the reply is changed.
func asked(request, reply, to string) string {
	return "> $" + request + "#|\n< +$" + reply + "#|\n= +$" + to + "#|"
}

// sent is a packet that the stub gets as another one.
func sent(payload, to string) string { return "> $" + payload + "#|\n= $" + to + "#|" }

// call0 is a request of the JSON dialect.
func call0(name, args string) string {
	return `{"execute":"` + name + `","arguments":` + args + `}`
}

// returned is an exchange of objects in which the result is changed. The JSON that a fault writes has its keys sorted.
func returned(name, args, result, to string) string {
	return "> " + call0(name, args) + "\n" + `< {"return": ` + result + `}\n` + "\n" + `= {"return":` + to + `}\n`
}

// called is a request that the stub gets with other arguments.
func called(name, args, to string) string {
	return "> " + call0(name, args) + "\n" + `= {"arguments":` + to + `,"execute":"` + name + `"}`
}

const register15 = "name=pc.size=32.reggroupid=1.memspaceid=3.type=0.thread=0.opcode=0."

const (
	con     = `"host":"","server-port":0,"server-key":"","system-key":"","device-key":"","system":"","system-instance":"","acc-hw":"","device-type":0,"device":"","device-id":0,"core":"","core-type":0,"core-id":0`
	sortCon = `"acc-hw":"","core":"","core-id":0,"core-type":0,"device":"","device-id":0,"device-key":"","device-type":0,"host":"","server-key":"","server-port":0,"system":"","system-instance":"","system-key":""`
)

// shows has, for each fault of a connection, a conversation that shows it.
var shows = map[string]string{
	"ack-missing":          "> $I#|\n< +$shaking your hand#|\n= $shaking your hand#|",
	"ack-twice":            "> $I#|\n< +$shaking your hand#|\n= ++$shaking your hand#|",
	"ack-late":             "> $I#|\n< +$shaking your hand#|\n= $shaking your hand#|+",
	"nack-ignored":         "> $I#|\n< +$shaking your hand#|\n> -\n= ",
	"nack-older":           "> $I#|\n< +$a#|\n> -\n> $qsystem#|\n< +$b#|\n> -\n= \n* $a#|",
	"ack-keeps-packet":     "> $I#|\n< +$a#|\n> +-\n= -",
	"bad-end-acked":        "> $I#x\n< -\n= +",
	"bad-end-taken":        "> $I#x\n= $I#|",
	"more-refused":         "> $I#~\n= $I#x",
	"reply-end":            "> $I#|\n< +$a#|\n= +$a#}",
	"nul-ends-chunk":       `> $I#|\x00\x00$I#|` + "\n= $I#|\n" + `> \x00` + "\n= ",
	"nul-skipped":          `> $I\x00I#|` + "\n= $II#|",
	"long-taken":           "> $" + strings.Repeat("x", 1024) + "#|\n= $" + strings.Repeat("x", 1023) + "#|",
	"dollar-starts":        "> $qs$I#|\n= $I#|",
	"junk-answered":        "> x$I#|\n* -\n> $I#|",
	"one-packet-per-chunk": "> $I#|$I#|\n= $I#|",
	"whole-chunks":         "> $I#|$qsy\n= $I#|\n> stem#|",
	"exact-names":          "> $qsystemX#|\n= $#|",
	"error-for-unknown":    "> $x#|\n< +$#|\n= +$error#|\n> $p0;99#|\n< +$#|",
	"reply-to-all":         "> $i0#|\n< +\n= +$#|",
	"hangs-up":             "> $m0;1;2;4#|\n< +$error#|\n.",
	"falls-silent":         "> $m0;1;2;4#|\n< +$error#|\n> $I#|\n< +$a#|\n= ",

	"second-client-served":     "> $I#|\n+\n> $qsystem#|\n= \n* +$qemu-system#|\n> $I#|",
	"kept-for-next":            "> $I#|\n< +$a#|\n~\n> -\n= \n* $a#|",
	"beginning-for-next":       "> $I#|\n> $C1\n~\n> ;0#|\n= $C1;0#|",
	"disconnect-closes-server": "> $I#|\n~ $D#|",
	"disconnect-stops":         "> $I#|\n~ $b#|",

	"handshake":   asked("I", "shaking your hand", "hello"),
	"system-name": asked("qsystem", "qemu-system", "qemu"),
	"core-count":  asked("qcores", "device=d.core=c.nr_cores=2.", "device=d.core=c.nr_cores=3."),

	"list-ends-early":   asked("qregc39", "40!id=39.", "0!id=39.") + "\n> $qregc38#|\n< +$39!id=38.#|",
	"list-repeats":      "> $qregc19#|\n< +$20!id=19.#|\n> $qregc20#|\n= $qregc19#|\n< +$20!id=19.#|\n= +$21!id=19.#|",
	"handle-off-by-one": asked("qregf0", "1!id=0.", "2!id=0.") + "\n> $qregc7#|\n< +$0!id=7.#|",
	"list-endless":      asked("qregc7", "0!id=7.", "7!id=7.") + "\n> $qregf0#|\n< +$1!id=0.#|",
	"register-space":    asked("qregf0", "1!id=15."+register15, "1!id=15."+strings.Replace(register15, "memspaceid=3", "memspaceid=13", 1)),
	"register-group-id": asked("qregc4", "5!id=15."+register15, "5!id=15."+strings.Replace(register15, "reggroupid=1", "reggroupid=11", 1)),
	"space-id":          asked("qmemoryf0", "1!name=N.id=1.type=34.", "1!name=N.id=2.type=34."),
	"space-type":        asked("qmemoryf0", "1!name=N.id=1.type=34.", "1!name=N.id=1.type=2."),
	"space-end":         asked("qmemoryf0", "1!min=0.max=18446744073709551615.", "1!min=0.max=4294967295."),
	"group-id":          asked("qreggroupf0", "0!id=1.name=G.", "0!id=2.name=G.") + "\n> $qregf0#|\n< +$0!id=1.#|",
	"trigger-types":     asked("qtrigger", "nr_trigger=16.type=1,2,3,4.", "nr_trigger=16.type=1."),
	"trigger-number":    asked("qtrigger", "nr_trigger=16.type=1,2,3,4.", "nr_trigger=0.type=1,2,3,4."),

	"hex-upper-case":          asked("m0;1;2;2", "ab0c", "AB0C") + "\n> $m0;1;2;2#|\n< +$error#|",
	"hex-odd":                 asked("p0;1", "ab0c", "ab0c0") + "\n> $p0;1#|\n< +$#|",
	"reply-too-long":          asked("m0;1;2;2", "ab0c", "ab0c00") + "\n> $p0;1#|\n< +$ab#|",
	"reply-too-short":         asked("p0;1", "ab0c", "ab") + "\n> $m0;1;2;2#|\n< +$ab0c#|",
	"status-word":             asked("t0;1;2", "success", "ok"),
	"write-error-is-success":  asked("M0;1;2;1;00", "error", "success") + "\n> $t0;1;2#|\n< +$error#|",
	"insert-error-is-success": asked("t0;1;2", "error", "success") + "\n> $T0;1;2#|\n< +$error#|",
	"read-error-is-empty":     asked("m0;1;2;2", "error", ""),
	"register-absent-is-zero": asked("p0;99", "", "00000000"),
	"stop-told-always": asked("qstate0", "state=debug.type=1.stop_str=stopped.", "state=debug.type=1.stop_str=stopped.") +
		"\n" + asked("qstate0", "state=debug.type=0.stop_str=.", "state=debug.type=1.stop_str=stopped.") + "\n> $qstate1#|\n< +$state=debug.type=0.stop_str=.#|",
	"stop-str-missing":  asked("qstate0", "state=debug.stop_str=stopped.info_str=i.", "state=debug.stop_str=.info_str=i."),
	"stop-type-missing": asked("qstate0", "state=debug.type=3.address=4.", "state=debug.type=0.address=4."),
	"info-str-missing":  asked("qstate0", "state=debug.stop_str=stopped.info_str=i.", "state=debug.stop_str=stopped.info_str=."),

	"number-trailing":    sent("qstate0abc", "qstate0") + "\n> $M0;1;2;1;0g#|\n> $qstatex#|",
	"number-signed":      sent("C+1;-1", "C1;18446744073709551615"),
	"number-hexadecimal": sent("m0;1;0x10;0XfF", "m0;1;16;255"),
	"number-saturates":   sent("m0;1;18446744073709551616;4", "m0;1;18446744073709551615;4") + "\n> $m0;1;x;4#|",
	"number-narrow":      sent("m4294967296;1;18446744073709551615;4", "m0;1;18446744073709551615;4"),
	"number-empty":       sent("m;1;;4", "m0;1;0;4"),
	"argument-missing":   sent("C1", "C1;0") + "\n> $t0;1;2#|\n" + sent("p", "p0;0"),
	"data-short":         sent("M0;1;2;4;abcd", "M0;1;2;2;abcd") + "\n> $M0;1;2;2;abc#|",
	"crashes-on-core":    sent("qstate99", "k") + "\n> $qstate1#|",

	"no-newline":            `< {"return": {}}\r\n` + "\n" + `= {"return": {}}`,
	"reply-in-two-lines":    `< {"return": {}}\n` + "\n" + `= {\n"return": {}}\n`,
	"greeting":              `< {"return": {}}\n` + "\n" + `= {"QMP": {"version": {}, "capabilities": []}}\n{"return": {}}\n` + "\n" + `< {"return": {}}\n`,
	"one-object-per-chunk":  "> {}{}\n= {}\n> {}",
	"whole-objects":         "> {}{\"a\"\n= {}\n> :1}",
	"lines-only":            "> {}\n= \n" + `> \n{` + "\n" + `= {}\n`,
	"small-buffer":          `> {"a":"` + strings.Repeat("x", 5000) + `"}` + "\n" + `= \n` + "\n> {}",
	"mistakes-unanswered":   `< {"error": {"class": "GenericError"}}\n` + "\n= ",
	"error-class":           `< {"error": {"class": "CommandNotFound"}}\n` + "\n" + `= {"error": {"class": "GenericError"}}\n`,
	"repeated-key":          `> {"execute":"mcd-run","arguments":{"core-uid":1,"core-uid":2}}` + "\n" + `= {"arguments":{"core-uid":2},"execute":"mcd-run"}`,
	"repeated-key-hangs-up": `> {"a":{"b":1,"b":2}}` + "\n.",
	"unknown-hangs-up":      `> {"execute":"mcd-no-such"}` + "\n.",
	"silent-after-mistake":  `< {"error": {}}\n` + "\n" + `< {"return": {}}\n` + "\n= ",
	"server-stays-open": "> " + call0("mcd-open-server", "{}") + "\n" + `< {"return":{"return-status":0,"server-uid":1}}\n` + "\n~\n" +
		"> " + call0("mcd-open-server", "{}") + "\n" + `< {"return":{"return-status":0,"server-uid":1}}\n` + "\n" + `= {"return":{"return-status":3}}\n`,
	"object-for-next":  "> {}{\"a\"\n~\n> :1}\n= {\"a\":1}",
	"id-dropped":       `> {"execute":"mcd-exit","id":7}` + "\n" + `= {"arguments":null,"execute":"mcd-exit"}`,
	"number-as-string": called("mcd-run", `{"core-uid":"1"}`, `{"core-uid":1}`),
	"number-too-large": called("mcd-run", `{"core-uid":4294967296,"address":4294967296}`, `{"address":4294967296,"core-uid":4294967295}`),
	"number-rounded":   returned("mcd-qry-trig", `{}`, `{"a": [9223372036854775809], "b": 18446744073709551615, "c": 7}`, `{"a":[9223372036854775808],"b":18446744073709549568,"c":7}`),
	"argument-unknown": called("mcd-run", `{"core-uid":1,"extra":2,"global":true}`, `{"core-uid":1,"global":true}`),
	"keys-optional":    called("mcd-open-core", `{"core-con-info":{}}`, `{"core-con-info":{`+sortCon+`}}`) + "\n> " + call0("mcd-open-core", `{"core-con-info":{`+con+`}}`),

	"status-missing":     returned("mcd-run", `{}`, `{"return-status": 0}`, `{}`),
	"refusal-is-success": returned("mcd-run", `{}`, `{"return-status": 3}`, `{"return-status":0}`),
	"refusal-says-more":  returned("mcd-run", `{}`, `{"return-status": 3}`, `{"error-str":"refused","return-status":3}`),
	"error-slot":         called("mcd-qry-error-info", `{"core-uid":2}`, `{"core-uid":0}`),
	"error-code":         returned("mcd-qry-error-info", `{}`, `{"error-code": 258}`, `{"error-code":3840}`),
	"error-text":         returned("mcd-qry-error-info", `{}`, `{"error-str": "x"}`, `{"error-str":""}`),
	"version-unchecked":  called("mcd-initialize", `{"version-req":{"v-api-major":9,"v-api-minor":8}}`, `{"version-req":{"v-api-major":1,"v-api-minor":1}}`),
	"server-opens-twice": returned("mcd-open-server", `{}`, `{"return-status": 3}`, `{"config-string":"","host":"","return-status":0,"server-uid":1}`),
	"con-key-missing":    returned("mcd-qry-cores", `{}`, `{"core-con-info": [{"acc-hw": "", "core": "c"}]}`, `{"core-con-info":[{"core":"c"}]}`),

	"count-wrong":         returned("mcd-qry-mem-spaces", `{"num-mem-spaces":5}`, `{"num-mem-spaces": 5, "return-status": 0}`, `{"num-mem-spaces":6,"return-status":0}`),
	"total-wrong":         returned("mcd-qry-mem-spaces", `{"num-mem-spaces":0}`, `{"num-mem-spaces": 5, "return-status": 0}`, `{"num-mem-spaces":4,"return-status":0}`),
	"start-index-ignored": called("mcd-qry-reg-map", `{"start-index":5}`, `{"start-index":0}`),
	"limit-ignored":       called("mcd-qry-reg-map", `{"num-regs":5}`, `{"num-regs":1000}`),
	"count-lists-all":     called("mcd-qry-reg-map", `{"num-regs":0}`, `{"num-regs":1000}`),
	"past-end-is-empty":   returned("mcd-qry-reg-map", `{"start-index":999}`, `{"return-status": 3}`, `{"num-regs":0,"reg-info":[],"return-status":0}`),
	"element-dropped":     returned("mcd-qry-reg-map", `{}`, `{"num-regs": 2, "reg-info": [{"a":1},{"a":2}]}`, `{"num-regs":1,"reg-info":[{"a":1}]}`),
	"element-twice":       returned("mcd-qry-reg-map", `{}`, `{"num-regs": 2, "reg-info": [{"a":1},{"a":2}]}`, `{"num-regs":2,"reg-info":[{"a":1},{"a":1}]}`),
	"register-addr-space": returned("mcd-qry-reg-map", `{}`, `{"reg-info": [{"addr":{"mem-space-id":3}}]}`, `{"reg-info":[{"addr":{"mem-space-id":13}}]}`),
	"register-thread":     returned("mcd-qry-reg-map", `{}`, `{"reg-info": [{"hw-thread-id":3}]}`, `{"reg-info":[{"hw-thread-id":0}]}`),
	"group-size":          returned("mcd-qry-reg-groups", `{}`, `{"reg-groups": [{"n-registers":3}]}`, `{"reg-groups":[{"n-registers":4}]}`),

	"num-tx-ok":           returned("mcd-execute-txlist", `{}`, `{"txlist": {"num-tx-ok":1}}`, `{"txlist":{"num-tx-ok":0}}`),
	"num-bytes-ok":        returned("mcd-execute-txlist", `{}`, `{"txlist": {"tx":[{"num-bytes-ok":4}]}}`, `{"txlist":{"tx":[{"num-bytes-ok":0}]}}`),
	"tx-first-only":       called("mcd-execute-txlist", `{"txlist":{"tx":[{"a":1},{"a":2}],"num-tx":2}}`, `{"txlist":{"num-tx":1,"tx":[{"a":1}]}}`),
	"tx-width-unchecked":  called("mcd-execute-txlist", `{"txlist":{"tx":[{"access-width":3}]}}`, `{"txlist":{"tx":[{"access-width":0}]}}`),
	"tx-access-unchecked": called("mcd-execute-txlist", `{"txlist":{"tx":[{"access-type":3}]}}`, `{"txlist":{"tx":[{"access-type":1}]}}`),
	"tx-bytes-unchecked":  called("mcd-execute-txlist", `{"txlist":{"tx":[{"data":[1,2],"num-bytes":4}]}}`, `{"txlist":{"tx":[{"data":[1,2],"num-bytes":2}]}}`),
	"tx-count-unchecked":  called("mcd-execute-txlist", `{"txlist":{"tx":[{}],"num-tx":4}}`, `{"txlist":{"num-tx":1,"tx":[{}]}}`),

	"trig-id":              returned("mcd-qry-state", `{}`, `{"state": {"trig-id":1}}`, `{"state":{"trig-id":2}}`),
	"trig-event":           returned("mcd-qry-state", `{}`, `{"state": {"event":8}}`, `{"state":{"event":16}}`),
	"state-halted":         returned("mcd-qry-state", `{}`, `{"state": {"state":3}}`, `{"state":{"state":2}}`),
	"stop-str":             returned("mcd-qry-state", `{}`, `{"state": {"stop-str":"RUN_STATE_PAUSED"}}`, `{"state":{"stop-str":""}}`),
	"captured-never":       returned("mcd-qry-trig-state", `{}`, `{"trig-state": {"captured":true}}`, `{"trig-state":{"captured":false}}`),
	"captured-always":      returned("mcd-qry-trig-state", `{}`, `{"trig-state": {"captured":false}}`, `{"trig-state":{"captured":true}}`),
	"trig-echo":            returned("mcd-create-trig", `{}`, `{"trig": {"trig-simple-core":{"action-param":1,"modified":true,"state-mask":2,"type":1}}}`, `{"trig":{"trig-simple-core":{"action-param":0,"modified":false,"state-mask":0,"type":1}}}`),
	"trig-type":            returned("mcd-qry-trig", `{}`, `{"trig": {"trig-simple-core":{"type":4}}}`, `{"trig":{"trig-simple-core":{"type":1}}}`),
	"trig-unknown-removed": returned("mcd-remove-trig", `{}`, `{"return-status": 3}`, `{"return-status":0}`),
	"trig-physical":        called("mcd-create-trig", `{"trig":{"trig-simple-core":{"addr-start":{"mem-space-id":1}}}}`, `{"trig":{"trig-simple-core":{"addr-start":{"mem-space-id":2}}}}`),
	"trig-set-empty":       returned("mcd-qry-trig-set", `{}`, `{"num-trigs": 1, "trig-ids": [1]}`, `{"num-trigs":0,"trig-ids":[]}`),
	"trig-set-stays": "> " + call0("mcd-remove-trig-set", `{"core-uid":1}`) + "\n" + `= {"arguments":{"core-uid":1},"execute":"mcd-qry-trig-set-state"}` + "\n" +
		`< {"return": {"return-status": 0, "trig-state": {}}}\n` + "\n" + `= {"return":{"return-status":0}}\n`,

	"n-steps":       called("mcd-step", `{"n-steps":5}`, `{"n-steps":1}`),
	"step-type":     called("mcd-step", `{"step-type":1}`, `{"step-type":2}`),
	"always-global": called("mcd-set-global", `{"enable":false}`, `{"enable":true}`),
	"reset-vector":  called("mcd-rst", `{"rst-class-vector":6}`, `{"rst-class-vector":1}`),
}
