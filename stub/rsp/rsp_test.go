// SPDX-License-Identifier: Apache-2.0

package rsp_test

import (
	"bytes"
	"fmt"
	"net"
	"testing"

	"mcdtest/stub/rsp"
)

// A reply may be longer than any buffer, and come in pieces of any size.
func TestLongReplies(t *testing.T) {
	for _, n := range []int{10, 64<<10 - 4, 64 << 10, 64<<10 + 1, 131104, 300_000} {
		ours, theirs := net.Pipe()
		payload := make([]byte, n)
		var sum byte
		for i := range payload {
			payload[i] = "0123456789abcdef"[i*7%16]
			sum += payload[i]
		}
		done := make(chan error, 1)
		go func() {
			defer theirs.Close()
			if _, err := theirs.Read(make([]byte, 100)); err != nil {
				done <- err
				return
			}
			reply := fmt.Appendf(nil, "+$%s#%02x", payload, sum)
			for len(reply) > 0 {
				m := min(len(reply), 5000)
				if _, err := theirs.Write(reply[:m]); err != nil {
					done <- err
					return
				}
				reply = reply[m:]
			}
			done <- nil
		}()
		c := rsp.New(ours)
		got, err := c.Exchange("m0,1")
		if err != nil {
			t.Errorf("%d bytes: %v", n, err)
		} else if !bytes.Equal(got, payload) {
			t.Errorf("%d bytes: %d others came", n, len(got))
		}
		ours.Close()
		if sent := <-done; sent != nil && err == nil {
			t.Error(sent)
		}
	}
}

// fakeStub hands over what it reads, chunk by chunk, and sends what it is told to.
func fakeStub(t *testing.T) (*rsp.Client, net.Conn) {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() {
		ours.Close()
		theirs.Close()
	})
	return rsp.New(ours), theirs
}

// answer reads one write of the client and answers it.
func answer(stub net.Conn, text string) <-chan error {
	done := make(chan error, 1)
	go func() {
		if _, err := stub.Read(make([]byte, 4096)); err != nil {
			done <- err
			return
		}
		_, err := stub.Write([]byte(text))
		done <- err
	}()
	return done
}

const (
	lateStop = "$T02thread:p01.01;#03"
	newStop  = "$T05thread:p01.01;#06"
)

// The reply to a stop that was known of before it came is no answer to what was asked meanwhile.
func TestALateStopReplyIsNoAnswer(t *testing.T) {
	c, stub := fakeStub(t)
	done := answer(stub, lateStop+"+$00102040#87")
	reply, err := c.Exchange("pf")
	if err != nil || string(reply) != "00102040" {
		t.Errorf("got %q, %v", reply, err)
	}
	<-done
	done = answer(stub, "+$OK#9a")
	if reply, err := c.Exchange("Hg1"); err != nil || string(reply) != "OK" {
		t.Errorf("the next one: %q, %v", reply, err)
	}
	<-done
}

// Nor is it the end of what is started afterwards.
func TestALateStopReplyEndsNoStep(t *testing.T) {
	for _, late := range []string{"", lateStop} {
		c, stub := fakeStub(t)
		done := answer(stub, late+"+"+newStop)
		if err := c.Resume("vCont;s:p1.1"); err != nil {
			t.Fatal(err)
		}
		reply, err := c.WaitStop(rsp.Timeout)
		if err != nil || string(reply) != newStop[1:len(newStop)-3] {
			t.Errorf("behind %q: got %q, %v", late, reply, err)
		}
		<-done
	}
}

// A resume that reached a running VM has stopped it instead: there is no acknowledgement, only the reply to the stop.
func TestAResumeOfARunningVM(t *testing.T) {
	c, stub := fakeStub(t)
	done := answer(stub, lateStop)
	if err := c.Resume("vCont;c"); err != nil {
		t.Fatal(err)
	}
	if reply, err := c.WaitStop(rsp.Timeout); err != nil || string(reply) != lateStop[1:len(lateStop)-3] {
		t.Errorf("got %q, %v", reply, err)
	}
	<-done
}

func TestVAttachIsAnsweredByAStop(t *testing.T) {
	c, stub := fakeStub(t)
	done := answer(stub, "+"+newStop)
	if reply, err := c.Exchange("vAttach;2"); err != nil || len(reply) == 0 || reply[0] != 'T' {
		t.Errorf("got %q, %v", reply, err)
	}
	<-done
}
