// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"mcdtest/cmd/mcdtest/internal/story"
	"mcdtest/harness/exchange"
	"mcdtest/harness/script"
	"mcdtest/harness/transcript"
)

type playCmd struct {
	endpointFlags
	Update bool     `short:"u" help:"Write what was answered into the scripts, instead of comparing it. Look at the difference, and keep only what you understand."`
	Show   bool     `short:"s" help:"Show the packets, also of scripts that pass."`
	File   []string `arg:"" help:"Scripts."`
}

func (playCmd) Help() string {
	return `Plays raw-packet scripts: transcripts in which "> " is sent and "< " is expected. docs/scripts.md describes what they can do: patterns,
captures, symbols of the guest, several clients. Each script gets a machine of its own, with a program that counts in a loop and
stands before its first instruction; or all are played to the endpoint at --connect.
The exit status is 0 if every answer is the expected one, 1 if one is not, 2 if a script is wrong or could not be played.

Examples:
  mcdtest play loop.txt
  mcdtest play --show --connect 127.0.0.1:1235 loop.txt
  mcdtest play --update loop.txt`
}

func (c *playCmd) Run(ctx context.Context, con *console) error {
	scripts := make([]*script.Script, len(c.File))
	for i, file := range c.File {
		var err error
		// All of them before the first is played: a mistake in the last is better known now.
		if scripts[i], err = script.ParseFile(file); err != nil {
			return err
		}
	}
	bad := 0
	for i, s := range scripts {
		ok, err := c.play(ctx, con, c.File[i], s)
		if err != nil {
			return err
		}
		if !ok {
			bad++
		}
	}
	if bad > 0 {
		return failed(statusFailed)
	}
	return nil
}

// play plays one script and says how it went. An error means that it could not be played.
func (c *playCmd) play(ctx context.Context, con *console, file string, s *script.Script) (ok bool, err error) {
	e, err := c.open(ctx)
	if err != nil {
		return false, err
	}
	rec := transcript.NewRecorder(0)
	env := script.Env{Dial: e.dial, Symbols: e.symbol, Recorder: rec}
	if m := e.machine; m != nil {
		env.Gone, env.GoneErr = m.Done(), exitOf(m)
		if err := env.ForArch(m.Guest().Arch); err != nil {
			return false, err
		}
	}
	began := time.Now()
	word := "ok"
	if c.Update {
		word, err = c.update(ctx, file, s, env)
	} else {
		err = script.Play(ctx, s, env)
	}
	took := time.Since(began)
	closing := e.close()
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if c.Show {
		paint := exchange.Paint{Client: con.style.Client, Stub: con.style.Stub, Dim: con.style.Dim}
		for _, line := range exchange.DrawAll(exchange.Pair(rec.Entries()), 0, paint) {
			fmt.Fprintln(con.out, line)
		}
	}
	if err == nil {
		err = closing
	}
	var line *script.Error
	var mistake *script.Mistake
	var mismatch *script.Mismatch
	switch {
	case errors.As(err, &mistake):
		return false, err
	case errors.As(err, &line) && !errors.As(err, &mismatch) && len(rec.Entries()) == 0:
		return false, err // nothing was played
	}
	if err != nil {
		fmt.Fprintf(con.out, "%s %s  %v\n", con.style.Bad("FAILED"), file, err)
		return false, nil
	}
	fmt.Fprintf(con.out, "%s %s  %s\n", con.style.Good(word), file, con.style.Dim(story.Duration(took)))
	return true, nil
}

// update writes a script anew, if anything in it has changed.
func (c *playCmd) update(ctx context.Context, file string, s *script.Script, env script.Env) (string, error) {
	text, err := script.Update(ctx, s, env)
	if err != nil {
		return "", err
	}
	old, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	if bytes.Equal(old, text) {
		return "unchanged", nil
	}
	st, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	// The script was written by hand: a disk that is full must not cost it.
	if file, err = filepath.EvalSymlinks(file); err != nil {
		return "", err
	}
	if err := replaceFile(file, text, st.Mode().Perm()); err != nil {
		return "", fmt.Errorf("write the script: %w", err)
	}
	return "updated", nil
}
