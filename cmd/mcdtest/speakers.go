// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"mcdtest/harness/exchange"
	"mcdtest/harness/jsonclient"
	"mcdtest/harness/rawclient"
	"mcdtest/harness/transcript"
	"mcdtest/stub/jsonwire"
	"mcdtest/stub/wire"
)

// cutWord splits a line behind its first word.
func cutWord(line string) (word, rest string) {
	word, rest, _ = strings.Cut(strings.TrimSpace(line), " ")
	return word, strings.TrimSpace(rest)
}

// packetSpeaker is the packet dialect as it is typed.
type packetSpeaker struct {
	client    *rawclient.Client
	endpoint  string // for messages
	bigEndian bool
}

func newPacketSpeaker(ctx context.Context, e *endpoint, rec *transcript.Recorder) (speaker, error) {
	c, err := e.client(ctx, rec)
	if err != nil {
		return nil, err
	}
	return &packetSpeaker{client: c, endpoint: e.name, bigEndian: e.guest() != nil && e.guest().BigEndian()}, nil
}

func (s *packetSpeaker) close() { s.client.Close() }

func (s *packetSpeaker) names() []string {
	var names []string
	for _, r := range wire.Requests {
		names = append(names, r.Name)
	}
	return names
}

func (s *packetSpeaker) help(topic string) []string {
	var lines []string
	for _, r := range wire.Requests {
		if topic != "" && !strings.HasPrefix(r.Name, topic) {
			continue
		}
		lines = append(lines, fmt.Sprintf("%-42s %s", r.Name+arguments(r.Args), r.Meaning))
	}
	if len(lines) == 0 {
		return []string{fmt.Sprintf("no request begins with %s", topic)}
	}
	if topic == "" {
		lines = append(lines, "$BYTES, +, -                               bytes as they are, \\xNN and X{N} as in transcripts",
			"help [NAME], quit")
	}
	return lines
}

func arguments(args []wire.Arg) string {
	var b strings.Builder
	for i, a := range args {
		text := strings.ReplaceAll(a.Name, " ", "-")
		if i > 0 {
			text = string(wire.Separator) + text
		}
		if a.Optional {
			text = "[" + text + "]"
		}
		b.WriteString(text)
	}
	return b.String()
}

// How long the shell waits: for answers of which the protocol says that they come, and for those that may or may not.
const (
	shellTimeout = 5 * time.Second
	shellQuiet   = 100 * time.Millisecond
)

func (s *packetSpeaker) say(ctx context.Context, line string) error {
	data := []byte(line)
	switch line[0] {
	case wire.Start, wire.Ack, wire.Nack:
		var err error
		if data, err = transcript.Unescape(line); err != nil {
			return fmt.Errorf("%w: %w", errTyped, unescapeError(err))
		}
	default:
		data = wire.AppendPacket(nil, data)
	}
	a, err := ask(ctx, s.client, data, shellTimeout, shellQuiet)
	switch {
	case a.ended != nil && kills(data):
		return fmt.Errorf("%w: %w", errEnded, a.ended)
	case a.ended != nil:
		return fmt.Errorf("%w, and %w: %w", errNoAnswer, errEnded, a.ended)
	case a.missing:
		return fmt.Errorf("%w: nothing, or not all, within %v from %s: is it an MCD stub, and is no other client connected to it?", errNoAnswer, shellTimeout, s.endpoint)
	}
	return err
}

func (s *packetSpeaker) decode(x exchange.Exchange) []string { return exchange.Decode(x, s.bigEndian) }

// jsonSpeaker is the JSON dialect as it is typed.
type jsonSpeaker struct{ client *jsonclient.Client }

func newJSONSpeaker(ctx context.Context, e *endpoint, rec *transcript.Recorder) (speaker, error) {
	conn, err := e.dial(ctx)
	if err != nil {
		return nil, err
	}
	opt := jsonclient.Options{Recorder: rec}
	if e.machine != nil {
		opt = jsonOptions(e.machine, rec)
	}
	return &jsonSpeaker{jsonclient.New(conn, opt)}, nil
}

func (s *jsonSpeaker) close() { s.client.Close() }

func (s *jsonSpeaker) names() []string {
	var names []string
	for _, c := range jsonwire.Commands {
		names = append(names, c.Name)
	}
	return names
}

func (s *jsonSpeaker) help(topic string) []string {
	if c := jsonwire.Lookup(topic); c != nil {
		example, err := json.Marshal(c.NewArgs())
		if err != nil {
			return []string{err.Error()}
		}
		return []string{c.Meaning, fmt.Sprintf("%s %s", c.Name, example)}
	}
	var lines []string
	for _, c := range jsonwire.Commands {
		if strings.HasPrefix(c.Name, topic) {
			lines = append(lines, fmt.Sprintf("%-24s %s", c.Name, c.Meaning))
		}
	}
	if len(lines) == 0 {
		return []string{fmt.Sprintf("no command begins with %s", topic)}
	}
	return append(lines, "help NAME shows the arguments; quit")
}

func (s *jsonSpeaker) say(ctx context.Context, line string) error {
	data := []byte(line)
	if !strings.HasPrefix(strings.TrimSpace(line), "{") {
		name, args := cutWord(line)
		request := map[string]any{"execute": name}
		if args != "" {
			if !json.Valid([]byte(args)) {
				return fmt.Errorf("%w: %s is no JSON", errTyped, args)
			}
			request["arguments"] = json.RawMessage(args)
		}
		var err error
		if data, err = json.Marshal(request); err != nil {
			return fmt.Errorf("%w: %w", errTyped, err)
		}
	}
	if err := s.client.Send(ctx, data); err != nil {
		return err
	}
	_, err := s.client.ReadObject(ctx)
	if errors.Is(err, jsonclient.ErrClosed) || errors.Is(err, jsonclient.ErrGone) {
		return fmt.Errorf("%w, and %w: %w", errNoAnswer, errEnded, err)
	}
	if errors.Is(err, jsonclient.ErrTimeout) {
		return fmt.Errorf("%w: %w: is the line whole JSON, and does the endpoint speak JSON?", errNoAnswer, err)
	}
	return err
}

func (s *jsonSpeaker) decode(x exchange.Exchange) []string {
	var b bytes.Buffer
	if json.Indent(&b, bytes.TrimSpace(x.Answer), "", "  ") != nil {
		return nil
	}
	lines := strings.Split(b.String(), "\n")
	if c := jsonwire.Lookup(x.Name); c != nil {
		speller := newSpeller(c)
		for i, line := range lines {
			lines[i] = speller.spell(line)
		}
	}
	return lines
}
