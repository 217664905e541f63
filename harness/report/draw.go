// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"mcdtest/harness/exchange"
	"mcdtest/harness/result"
	"mcdtest/harness/transcript"
)

// shownExchanges is how much of a conversation is drawn: its end, where it went wrong.
const shownExchanges = 60

// exchangeRow is a line of a drawn conversation: client, stub, and the state of the VM beside them.
type exchangeRow struct {
	At      time.Duration
	Took    time.Duration
	Request string
	Meaning string
	Reply   string
	Note    string // instead of request and reply
	VM      string // running, standing, ended, or unknown
}

// draw turns the conversations of a spec into rows.
func draw(ev *result.Evidence) []drawing {
	var list []drawing
	for _, m := range ev.Machines {
		d := drawing{Machine: m}
		// A conversation that cannot be read is shown as it is, by the page.
		if entries, err := transcript.Parse(strings.NewReader(m.Transcript)); err == nil {
			d.Exchanges = rows(short(exchange.Pair(entries)))
			if n := len(d.Exchanges) - shownExchanges; n > 0 {
				d.Left, d.Exchanges = n, d.Exchanges[n:]
			}
		}
		list = append(list, d)
	}
	return list
}

// short leaves out what is said beside the drawing already, and the middle of long runs of the same request.
func short(list []exchange.Exchange) []exchange.Exchange {
	for len(list) > 0 && list[0].Comment != "" && !strings.HasPrefix(list[0].Comment, "VM ") {
		list = list[1:] // which spec it is, and the command line
	}
	var all []exchange.Exchange
	for _, f := range exchange.Folded(list) {
		all = append(all, f.Shown...)
		if f.Hidden > 0 {
			all = append(all, exchange.Exchange{At: f.Shown[len(f.Shown)-1].At, Comment: fmt.Sprintf("⋮ %d more", f.Hidden)})
		}
		if f.Last != nil {
			all = append(all, *f.Last)
		}
	}
	return all
}

// rows gives each exchange the VM state that held when it began. The record has QMP's events as comments.
func rows(list []exchange.Exchange) []exchangeRow {
	vm := "standing"
	var all []exchangeRow
	for _, x := range list {
		row := exchangeRow{At: x.At, Took: x.Took, Meaning: x.Meaning, VM: vm}
		switch {
		case x.Comment != "":
			row.Note = x.Comment
			switch x.Comment {
			case "VM RESUME":
				vm = "running"
			case "VM STOP":
				vm = "standing"
			case "VM SHUTDOWN":
				vm = "ended"
			}
			row.VM = vm
		case x.Closed != "":
			row.Note = "the " + x.Closed + " closes the connection"
		default:
			row.Request = text(x.Sent)
			row.Reply = text(x.Answer)
		}
		all = append(all, row)
	}
	return all
}

// shownBytes is how long a packet is drawn.
const shownBytes = 400

func text(p []byte) string {
	return exchange.Cut(transcript.Escape(bytes.TrimRight(p, "\r\n")), shownBytes)
}
