// SPDX-License-Identifier: Apache-2.0

package jsonwire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fill puts a value that is not zero into everything that v points to. Of a union the member with the given number is set.
func fill(v reflect.Value, rnd *rand.Rand, member int) {
	switch v.Kind() {
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(rnd.Uint64() >> (64 - v.Type().Bits()) >> rnd.IntN(v.Type().Bits()))
	case reflect.String:
		v.SetString([]string{"a", "", "cortex-a15-arm-cpu", "ä€\U0001F600", "\"\\/\b\f\n\r\t\x01\x7f", "\u2028 <&>"}[rnd.IntN(6)])
	case reflect.Bool:
		v.SetBool(rnd.IntN(2) == 1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), rnd, member)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1+rnd.IntN(5), 9))
		for i := range v.Len() {
			fill(v.Index(i), rnd, member)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).Kind() == reflect.Pointer && i != member {
				v.Field(i).SetZero()
				continue
			}
			if v.Type().Field(i).Tag.Get("json") != "-" {
				fill(v.Field(i), rnd, member)
			}
		}
	}
}

// What Append writes encoding/json reads, and the other way round, for arguments and result of every command.
func TestCodecAgreesWithEncodingJSON(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, c := range Commands {
		for _, mk := range []func() any{c.NewArgs, c.NewResult} {
			for round := range 50 {
				want := mk()
				fill(reflect.ValueOf(want).Elem(), rnd, round%2)

				ours := Append(nil, want)
				got := mk()
				dec := json.NewDecoder(bytes.NewReader(ours))
				dec.DisallowUnknownFields()
				if err := dec.Decode(got); err != nil {
					t.Fatalf("%s: encoding/json reads %s: %v", c.Name, ours, err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("%s: Append wrote something else (- want, + encoding/json read):\n%s", c.Name, diff)
				}

				theirs, err := json.MarshalIndent(want, " ", "\t")
				if err != nil {
					t.Fatal(err)
				}
				got = mk()
				if round%3 == 0 {
					fill(reflect.ValueOf(got).Elem(), rnd, round%2) // what was there before must be gone
				}
				if err := Decode(theirs, got); err != nil {
					t.Fatalf("%s: Decode %s: %v", c.Name, theirs, err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("%s: (- want, + Decode read):\n%s", c.Name, diff)
				}
			}
		}
	}
}

func TestBytes(t *testing.T) {
	every := make(Bytes, 0, 700)
	for i := range 700 {
		every = append(every, byte(i*7))
	}
	for n := range len(every) {
		want := every[len(every)-n:]
		text := appendBytes([]byte("x"), want)[1:]
		var plain []int
		if err := json.Unmarshal(text, &plain); err != nil || len(plain) != n {
			t.Fatalf("%d bytes are written as %s: %v", n, text, err)
		}
		for i, v := range plain {
			if v != int(want[i]) {
				t.Fatalf("byte %d of %s is %d, want %d", i, text, v, want[i])
			}
		}
		var got Bytes
		if err := got.UnmarshalJSON(text); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%s is read as %v: %v", text, got, err)
		}
	}
}

// Each number in each place that the fast way of reading has: dense, before white space, last.
func TestBytesRange(t *testing.T) {
	for v := -2; v <= 1100; v++ {
		for _, form := range []string{"    [%d,7,7,7,7]", "    [7,%d,7,7,7,7,7]", "    [7,7,7,%d,7,7,7,7,7]", "    [100,7,%d,7,7,7,7,7]", "[%d,7,7,7,7]", "[7,%d,7,7,7]", "[7,7,7,%d ,7]", "[7,%d]", "[%d]", "[ %d\n]"} {
			text := fmt.Sprintf(form, v)
			var got Bytes
			err := got.UnmarshalJSON([]byte(text))
			if (err == nil) != (v >= 0 && v <= 255) {
				t.Fatalf("%s: %v, %v", text, got, err)
			}
			if err == nil && !strings.Contains(fmt.Sprint(got), fmt.Sprint(v)) {
				t.Fatalf("%s is read as %v", text, got)
			}
		}
	}
	for _, text := range []string{"[00,1,1,1]", "[01,1,1,1]", "[001,1,1]", "[007]", "[1.0,1,1]", "[1e0,1,1]", "[1,]", "[,1]", "[1,,1,1]", "[", "[1", "[1,", "[1 2,3,4]",
		"[-1,1,1,1]", "[+1,1,1,1]", `["1",1,1,1]`, "[true]", "[null]", "[[1]]", "{}", "7", "[0x1,1,1]", "[1/,1,1,1]", "[:1,1,1,1]", "[1:,1,1,1]", "[\x801,1,1]", "[1\xb0,1,1,1]"} {
		var got Bytes
		if err := got.UnmarshalJSON([]byte(text)); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

// agree compares how the text is read with what encoding/json reads.
func agree(t *testing.T, text string) {
	t.Helper()
	var ours Bytes
	err := ours.UnmarshalJSON([]byte(text))
	var want []byte
	var plain []int
	other := json.Unmarshal([]byte(text), &plain)
	if strings.Contains(text, "-") { // JSON has a -0
		other = errors.New("a sign")
	}
	for _, v := range plain {
		if v < 0 || v > 255 {
			other = errors.New("out of range")
		}
		want = append(want, byte(v))
	}
	if (err == nil) != (other == nil) || err == nil && !bytes.Equal(ours, want) {
		t.Errorf("%q: %v, %v; encoding/json: %v, %v", text, ours, err, plain, other)
	}
}

// Each character in each place, in more than a block.
func TestBytesCharacters(t *testing.T) {
	const good = "    [11,1,23,45,6,78,9,100,11,255,0,0,0,0,0,77,8,199,10,10,10,9,9,240,133,21,7,9,99,255,7,7]"
	for i := strings.Index(good, "[") + 1; i < len(good)-1; i++ {
		for c := range 256 {
			text := []byte(good)
			text[i] = byte(c)
			agree(t, string(text))
		}
	}
}

// Whatever is special, in each place of a block and across its end.
func TestBytesBlocks(t *testing.T) {
	zeros := strings.Repeat("0,", 2*block)
	for pad := range 2*block + 3 {
		front := strings.Repeat("1,", pad/2)
		if pad%2 == 1 {
			if pad < 3 {
				continue
			}
			front = "10," + strings.Repeat("1,", pad/2-1)
		}
		for _, special := range []string{"", "255,", "256,", "09,,", "00,", "09,9,", "1234,", ",", "120," + zeros, "2550," + zeros, zeros, " 7 ,", "1 2,", "-0,", "1.0,"} {
			agree(t, "    ["+front+special+front+"3]")
		}
	}
}

const coreRequest = `{"arguments":{"core-uid":1,"global":true},"execute":"mcd-run"}`

// decodeRequest does what a server does with an object.
func decodeRequest(text string) (*Request, any, error) {
	var r Request
	if err := ParseRequest([]byte(text), &r); err != nil {
		return &r, nil, err
	}
	args := r.Command.NewArgs()
	return &r, args, r.DecodeArgs(args)
}

func TestRequest(t *testing.T) {
	for _, text := range []string{
		coreRequest,
		`{"execute":"mcd-run","arguments":{"global":true,"core-uid":1}}`,
		" {\n\t\"execute\" : \"mcd-run\" ,\r\n \"arguments\" : { \"core-uid\" : 1 , \"global\" : true } } ",
		`{"execute":"mcd\u002drun","arguments":{"core\u002Duid":1,"global":true}}`,
	} {
		r, args, err := decodeRequest(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(&RunArgs{CoreUID: 1, Global: true}, args); diff != "" || r.Command.Name != Run || r.ID != nil {
			t.Errorf("%s: %s, id %s, arguments (- want, + got):\n%s", text, r.Command.Name, r.ID, diff)
		}
	}
	r, _, err := decodeRequest(`{"id": {"a":[1, "}"]} ,"execute":"mcd-exit"}`)
	if err != nil || string(r.ID) != `{"a":[1, "}"]}` {
		t.Errorf("id: %q, %v", r.ID, err)
	}
	// A reply repeats what is here, so it must be JSON, whatever the request was.
	for _, text := range []string{`{"id":}`, `{"id":nope,"execute":"mcd-exit"}`, `{"execute":"mcd-exit","id":[1}`, `{"id":7,"execute":"mcd-nope"}`} {
		r, _, err := decodeRequest(text)
		if err == nil || r.ID != nil && !json.Valid(r.ID) {
			t.Errorf("%s: id %q, %v", text, r.ID, err)
		}
	}
}

func TestRequestErrors(t *testing.T) {
	deep := strings.Repeat("[", MaxDepth+2) + strings.Repeat("]", MaxDepth+2)
	for _, c := range []struct{ text, class, desc string }{
		{`{"execute":"mcd-nope"}`, CommandNotFound, "The command mcd-nope has not been found"},
		{`{"execute":"","arguments":{}}`, CommandNotFound, "The command  has not been found"},
		{`{"execute":"mcd-run ","arguments":{"core-uid":1,"global":true}}`, CommandNotFound, "mcd-run "},
		{`{}`, GenericError, "lacks member 'execute'"},
		{`[]`, GenericError, "must be a JSON object"},
		{`[{"execute":"mcd-exit"}]`, GenericError, "must be a JSON object"},
		{`{"execute":7}`, GenericError, "'execute' must be a string"},
		{`{"execute":null}`, GenericError, "'execute' must be a string"},
		{`{"execute":"mcd-exit","arguments":[]}`, GenericError, "'arguments' must be an object"},
		{`{"execute":"mcd-exit","arguments":null}`, GenericError, "'arguments' must be an object"},
		{`{"execute":"mcd-exit","other":1}`, GenericError, "'other' is unexpected"},
		{`{"execute":"mcd-exit","execute":"mcd-exit"}`, GenericError, "duplicate key 'execute'"},
		{`{"execute":"mcd-exit","arguments":{},"arguments":{}}`, GenericError, "duplicate key 'arguments'"},
		{`{"execute":"mcd-exit","arguments":{"a":1}}`, GenericError, "Parameter 'a' is unexpected"},
		{`{"execute":"mcd-run"}`, GenericError, "Parameter 'core-uid' is missing"},
		{`{"execute":"mcd-run","arguments":{"core-uid":1}}`, GenericError, "Parameter 'global' is missing"},
		{`{"execute":"mcd-run","arguments":{"core-uid":1,"global":true,"x":[{"y":"z"}]}}`, GenericError, "Parameter 'x' is unexpected"},
		{`{"execute":"mcd-run","arguments":{"core-uid":1,"core-uid":1,"global":true}}`, GenericError, "duplicate key 'core-uid'"},
		{`{"execute":"mcd-run","arguments":{"core-uid":"1","global":true}}`, GenericError, "Invalid parameter type for 'core-uid', expected: uint32"},
		{`{"execute":"mcd-run","arguments":{"core-uid":1.0,"global":true}}`, GenericError, "Invalid parameter type for 'core-uid', expected: uint32"},
		{`{"execute":"mcd-run","arguments":{"core-uid":1e0,"global":true}}`, GenericError, "Invalid parameter type for 'core-uid', expected: uint32"},
		{`{"execute":"mcd-run","arguments":{"core-uid":true,"global":true}}`, GenericError, "Invalid parameter type for 'core-uid', expected: uint32"},
		{`{"execute":"mcd-run","arguments":{"core-uid":null,"global":true}}`, GenericError, "Invalid parameter type for 'core-uid', expected: uint32"},
		{`{"execute":"mcd-run","arguments":{"core-uid":[1],"global":true}}`, GenericError, "Invalid parameter type for 'core-uid', expected: uint32"},
		{`{"execute":"mcd-run","arguments":{"core-uid":-1,"global":true}}`, GenericError, "Parameter 'core-uid' expects uint32"},
		{`{"execute":"mcd-run","arguments":{"core-uid":-0,"global":true}}`, GenericError, "Parameter 'core-uid' expects uint32"},
		{`{"execute":"mcd-run","arguments":{"core-uid":4294967296,"global":true}}`, GenericError, "Parameter 'core-uid' expects uint32"},
		{`{"execute":"mcd-run","arguments":{"core-uid":18446744073709551616,"global":true}}`, GenericError, "Parameter 'core-uid' expects uint32"},
		{`{"execute":"mcd-run","arguments":{"core-uid":999999999999999999999999999999,"global":true}}`, GenericError, "Parameter 'core-uid' expects uint32"},
		{`{"execute":"mcd-run","arguments":{"core-uid":1,"global":1}}`, GenericError, "Invalid parameter type for 'global', expected: boolean"},
		{`{"execute":"mcd-run","arguments":{"core-uid":1,"global":"true"}}`, GenericError, "Invalid parameter type for 'global', expected: boolean"},
		{`{"execute":"mcd-run","arguments":{"core-uid":01,"global":true}}`, GenericError, "JSON parse error"},
		{`{"execute":"mcd-run","arguments":{"core-uid":0x1,"global":true}}`, GenericError, "JSON parse error"},
		{`{"execute":"mcd-run","arguments":{"core-uid":+1,"global":true}}`, GenericError, "JSON parse error"},
		{`{"execute":"mcd-run","arguments":{"core-uid":1,"global":yes}}`, GenericError, "JSON parse error"},
		{`{"execute":"mcd-run","arguments":{"core-uid":1,"global":truely}}`, GenericError, "JSON parse error"},
		{`{"execute":"mcd-run","arguments":{"core-uid":1,"global":true,}}`, GenericError, "JSON parse error"},
		{`{"execute":"mcd-run","arguments":{"core-uid":1 "global":true}}`, GenericError, "JSON parse error"},
		{`{"execute":"mcd-run","arguments":{"core-uid" 1,"global":true}}`, GenericError, "JSON parse error"},
		{`{"execute":"mcd-run","arguments":{'core-uid':1,"global":true}}`, GenericError, "JSON parse error"},
		{`{"execute":"mcd-run","arguments":{"core-uid":1,"global":true}`, GenericError, "JSON parse error"},
		{`{"execute":"mcd-nope","arguments":{bad}}`, GenericError, "JSON parse error"},
		{`{"arguments":{"a":},"execute":"mcd-nope"}`, GenericError, "JSON parse error"},
		{`{"execute":"mcd-open-server","arguments":{"system-key":7,"config-string":""}}`, GenericError, "Invalid parameter type for 'system-key', expected: string"},
		{`{"execute":"mcd-open-server","arguments":{"system-key":"` + "\xff" + `","config-string":""}}`, GenericError, "not UTF-8"},
		{`{"execute":"mcd-open-server","arguments":{"system-key":"` + "\xc0\x80" + `","config-string":""}}`, GenericError, "invalid UTF-8"},
		{`{"execute":"mcd-open-server","arguments":{"system-key":"` + "\xed\xa0\x80" + `","config-string":""}}`, GenericError, "invalid UTF-8"},
		{`{"execute":"mcd-open-server","arguments":{"system-key":"\ud800","config-string":""}}`, GenericError, "not a character"},
		{`{"execute":"mcd-open-server","arguments":{"system-key":"\ud800\u0041","config-string":""}}`, GenericError, "not a character"},
		{`{"execute":"mcd-open-server","arguments":{"system-key":"\u12","config-string":""}}`, GenericError, "not a character"},
		{`{"execute":"mcd-open-server","arguments":{"system-key":"\x41","config-string":""}}`, GenericError, "unknown escape"},
		{`{"execute":"mcd-open-server","arguments":{"system-key":"` + "\n" + `","config-string":""}}`, GenericError, "control character"},
		{`{"execute":"mcd-exit","id":` + deep + `}`, GenericError, "nesting depth"},
		{`{"execute":"mcd-exit","id":{"a":1,"a":2}}`, GenericError, "duplicate key 'a'"},
		{`{"execute":"mcd-initialize","arguments":{"version-req":{"v-api-major":65536,"v-api-minor":0,"author":""}}}`, GenericError, "Parameter 'version-req.v-api-major' expects uint16"},
		{`{"execute":"mcd-initialize","arguments":{"version-req":[]}}`, GenericError, "Invalid parameter type for 'version-req', expected: object"},
		{`{"execute":"mcd-initialize","arguments":{"version-req":{"v-api-major":1,"v-api-minor":0}}}`, GenericError, "Parameter 'version-req.author' is missing"},
		{`{"execute":"mcd-execute-txlist","arguments":{"core-uid":1,"txlist":{"tx":[7],"num-tx":1,"num-tx-ok":0}}}`, GenericError, "Invalid parameter type for 'txlist.tx[0]', expected: object"},
		{`{"execute":"mcd-execute-txlist","arguments":{"core-uid":1,"txlist":{"tx":[{"data":[1,256]}],"num-tx":1,"num-tx-ok":0}}}`, GenericError, "Parameter 'txlist.tx[0].data' expects uint8"},
		{`{"execute":"mcd-execute-txlist","arguments":{"core-uid":1,"txlist":{"tx":[{"data":[1,"1"]}],"num-tx":1,"num-tx-ok":0}}}`, GenericError, "Invalid parameter type for 'txlist.tx[0].data', expected: uint8"},
		{`{"execute":"mcd-execute-txlist","arguments":{"core-uid":1,"txlist":{"tx":[{"data":"AQI="}],"num-tx":1,"num-tx-ok":0}}}`, GenericError, "Invalid parameter type for 'txlist.tx[0].data', expected: array of uint8"},
		{`{"execute":"mcd-execute-txlist","arguments":{"core-uid":1,"txlist":{"tx":{},"num-tx":1,"num-tx-ok":0}}}`, GenericError, "Invalid parameter type for 'txlist.tx', expected: array"},
		{`{"execute":"mcd-create-trig","arguments":{"core-uid":1,"trig":{}}}`, GenericError, "Parameter 'trig' takes exactly one of 'trig-simple-core', 'trig-complex-core'"},
	} {
		_, _, err := decodeRequest(c.text)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%.200s: %v, want %s %q", c.text, err, c.class, c.desc)
			continue
		}
		if e.Class != c.class || !strings.Contains(e.Desc, c.desc) {
			t.Errorf("%.200s: %v, want %s %q", c.text, e, c.class, c.desc)
		}
	}
}

// A trigger with both kinds is refused, although each of them is complete.
func TestUnionTakesOne(t *testing.T) {
	both := Append(nil, CreateTrigArgs{Trig: Trig{SimpleCore: &TrigSimpleCore{}, ComplexCore: &TrigComplexCore{}}})
	if err := Decode(both, new(CreateTrigArgs)); err == nil || !strings.Contains(err.Error(), "exactly one") {
		t.Errorf("both kinds in one trigger: %v", err)
	}
}

// Every key of every command is mandatory, unless it is optional; no other one is taken; and a wrong type is named.
func TestEveryArgument(t *testing.T) {
	wrong := map[Kind]string{U8: "256", U16: "65536", U32: "4294967296", U64: "18446744073709551616", String: "1", Bool: "0", Object: "[]", Union: "[]", List: "{}", ByteArray: `""`}
	for _, c := range Commands {
		ways := map[string]*Arg{}
		good := AppendArgs(nil, c.Args, func(way string, a *Arg) (string, Use) {
			ways[way] = a
			return "", Default
		})
		if err := Decode(good, c.NewArgs()); err != nil {
			t.Errorf("%s: arguments made from the table: %s: %v", c.Name, good, err)
		}
		for way, a := range ways {
			replace := func(text string, use Use) error {
				return Decode(AppendArgs(nil, c.Args, func(w string, _ *Arg) (string, Use) {
					if w == way {
						return text, use
					}
					return "", Default
				}), c.NewArgs())
			}
			name := way
			if strings.HasSuffix(way, "]") {
				name = "" // an element of a list
			}
			union := strings.HasSuffix(way, "-core") // a member of a union
			if err := replace("", Omit); name != "" && !union && (err == nil || !strings.Contains(err.Error(), fmt.Sprintf("Parameter '%s' is missing", name))) {
				t.Errorf("%s without %s: %v", c.Name, way, err)
			}
			if err := replace(wrong[a.Kind], Raw); err == nil || !strings.Contains(err.Error(), "'"+way+"'") {
				t.Errorf("%s with %s = %s: %v", c.Name, way, wrong[a.Kind], err)
			}
			if err := replace("nonsense", Raw); err == nil || !strings.Contains(err.Error(), "JSON parse error") {
				t.Errorf("%s with nonsense for %s: %v", c.Name, way, err)
			}
			if max := a.Kind.Max(); max > 0 {
				if err := replace(fmt.Sprint(max), Raw); err != nil {
					t.Errorf("%s with %s = %d: %v", c.Name, way, max, err)
				}
			}
		}
	}
}

func TestReplies(t *testing.T) {
	run, exit, systems, info := Lookup(Run), Lookup(Exit), Lookup(QrySystems), Lookup(QryErrorInfo)
	for _, c := range []struct{ got, want string }{
		{string(AppendReturn(nil, run, RetActNone, &NoResult{}, nil)), `{"return":{"return-status":0}}`},
		{string(AppendReturn(nil, run, RetActHandleError, nil, []byte(`[7]`))), `{"return":{"return-status":3},"id":[7]}`},
		{string(AppendReturn(nil, exit, RetActNone, &NoResult{}, nil)), `{"return":{}}`},
		{string(AppendReturn(nil, systems, RetActNone, &QrySystemsResult{NumSystems: 1}, nil)), `{"return":{"return-status":0,"num-systems":1}}`},
		{string(AppendReturn(nil, info, RetActHandleError, &ErrorInfo{Status: RetActHandleError, Code: ErrTxListRead, Str: "m \"E14\""}, nil)),
			`{"return":{"return-status":3,"error-code":8448,"error-events":0,"error-str":"m \"E14\""}}`},
		{string(AppendError(nil, &Error{CommandNotFound, "no \x01 \xff"}, nil)), `{"error":{"class":"CommandNotFound","desc":"no \u0001 ` + "\uFFFD" + `"}}`},
	} {
		if c.got != c.want+"\r\n" {
			t.Errorf("wrote %q, want %q and a line end", c.got, c.want)
		}
	}

	var r Reply
	if err := ParseReply([]byte(`{"error":{"class":"A","desc":"b","more":1}, "id":7}`), &r); err != nil || *r.Error != (Error{"A", "b"}) || string(r.ID) != "7" || r.Return != nil {
		t.Errorf("an error reply: %+v, %v", r, err)
	}
	if err := ParseReply([]byte(`{"QMP":{"version":{}}}`), &r); err != nil || r.Other != "QMP" || r.Return != nil || r.Error != nil {
		t.Errorf("a greeting: %+v, %v", r, err)
	}
	var got ErrorInfo
	status, err := info.DecodeReturn([]byte(`{"return-status":3,"error-code":8448,"error-events":0,"error-str":"x","new":{}}`), &got)
	if want := (ErrorInfo{RetActHandleError, ErrTxListRead, 0, "x"}); status != 3 || err != nil || got != want {
		t.Errorf("an error info: %v, %+v, %v", status, got, err)
	}
	for _, text := range []string{`{}`, `{"return-status":"0"}`, `{"return-status":0}`, `{"return-status":0,"num-systems":-1}`} {
		if _, err := systems.DecodeReturn([]byte(text), &QrySystemsResult{}); err == nil {
			t.Errorf("%s is taken as the result of %s", text, systems.Name)
		}
	}
	if status, err := systems.DecodeReturn([]byte(`{"return-status":3}`), &QrySystemsResult{}); status != 3 || err != nil {
		t.Errorf("a failure: %v, %v", status, err)
	}
}

// The table says what the specification says.
func TestTable(t *testing.T) {
	if len(Commands) != 33 {
		t.Errorf("%d commands, want 33", len(Commands))
	}
	seen := map[string]bool{}
	for i, c := range Commands {
		if seen[c.Name] || Lookup(c.Name) != &Commands[i] || c.Index != i || c.Meaning == "" || !strings.HasPrefix(c.Name, "mcd-") {
			t.Errorf("command %d: %+v", i, c)
		}
		seen[c.Name] = true
		if c.NoStatus != (c.Name == "mcd-exit") {
			t.Errorf("%s: NoStatus is %v", c.Name, c.NoStatus)
		}
	}
	names := func(args []Arg) (list []string) {
		for _, a := range args {
			list = append(list, fmt.Sprintf("%s %v", a.Name, a.Kind))
		}
		return list
	}
	for name, want := range map[string]string{
		QryRegMap: "core-uid uint32, reg-group-id uint32, start-index uint32, num-regs uint32",
		Step:      "core-uid uint32, global boolean, step-type uint32, n-steps uint32",
		Rst:       "core-uid uint32, rst-class-vector uint32, rst-and-halt boolean",
	} {
		if got := strings.Join(names(Lookup(name).Args), ", "); got != want {
			t.Errorf("%s takes %s, want %s", name, got, want)
		}
	}
	con := Lookup(OpenCore).Args[0].Fields
	if len(con) != 14 || con[13].Role != CoreID {
		t.Errorf("a CON has %v", names(con))
	}
	tx := Lookup(ExecuteTxList).Args[1].Fields[0]
	want := "addr object, access-type uint32, options uint32, access-width uint8, core-mode uint8, data array of uint8, num-bytes uint32, num-bytes-ok uint32"
	if got := strings.Join(names(tx.Elem.Fields), ", "); tx.Kind != List || got != want {
		t.Errorf("tx is a %v of %s, want %s", tx.Kind, got, want)
	}
	trig := Lookup(CreateTrig).Args[1]
	if trig.Kind != Union || len(trig.Fields) != 2 || len(trig.Fields[0].Fields) != 8 || len(trig.Fields[1].Fields) != 15 {
		t.Errorf("a TRIG is %+v", trig)
	}
	if !Lookup(QryTrigSet).Result[1].Optional {
		t.Error("trig-ids is not optional in the result")
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{ErrParam.String(), "MCD_ERR_PARAM"}, {ErrorCode(0x7777).String(), "error 0x7777"}, {RetActHandleError.String(), "MCD_RET_ACT_HANDLE_ERROR"},
		{(MemIsLogical | MemIsSecure).String(), "MCD_MEM_SPACE_IS_LOGICAL|MCD_MEM_SPACE_IS_SECURE"}, {MemType(0x40).String(), "0x40"},
		{CoreEventNone.String(), "MCD_CORE_EVENT_NONE"}, {TrigTypeRW.String(), "MCD_TRIG_TYPE_RW"}, {Kind(200).String(), "Kind(200)"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
	for code := range ErrorCode(0x4000) {
		if name := code.String(); strings.HasPrefix(name, "error ") != (errorNames[code] == "") {
			t.Errorf("%#x is %q", uint32(code), name)
		}
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		s     string
		limit int
		want  string
	}{{"abc", 3, "abc"}, {"abcd", 3, "abc"}, {"aää", 4, "aä"}, {"aää", 2, "a"}, {"ä", 1, ""}, {"\x80\x80", 1, ""}} {
		if got := Cut(c.s, c.limit); got != c.want {
			t.Errorf("Cut(%q, %d) = %q, want %q", c.s, c.limit, got, c.want)
		}
	}
}

// Arguments that are used again do not keep anything of the last request, and their memory is.
func TestDecodeAgain(t *testing.T) {
	big := ExecuteTxListArgs{TxList: TxList{Tx: make([]Tx, 3), NumTx: 3}}
	for i := range big.TxList.Tx {
		big.TxList.Tx[i].Data = bytes.Repeat([]byte{9}, 100)
	}
	small := ExecuteTxListArgs{CoreUID: 1, TxList: TxList{Tx: []Tx{{Data: Bytes{1, 2, 3, 4}}}}}
	bigText, smallText := Append(nil, big), Append(nil, small)
	var args ExecuteTxListArgs
	for _, text := range [][]byte{bigText, smallText, bigText} {
		if err := Decode(text, &args); err != nil {
			t.Fatal(err)
		}
		var want ExecuteTxListArgs
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, args); diff != "" {
			t.Errorf("(- want, + got):\n%s", diff)
		}
	}
	allocs := testing.AllocsPerRun(100, func() {
		if err := Decode(bigText, &args); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 3 {
		t.Errorf("%v allocations to decode into arguments that are used again", allocs)
	}
}

func TestUintLimits(t *testing.T) {
	for _, c := range []struct {
		text string
		want uint64
		ok   bool
	}{{"0", 0, true}, {"18446744073709551615", math.MaxUint64, true}, {"18446744073709551616", 0, false}, {"18446744073709551620", 0, false}, {"184467440737095516150", 0, false}, {"", 0, false}} {
		d := decoder{b: []byte(c.text)}
		got, err := d.uint(U64)
		if (err == nil) != c.ok || c.ok && got != c.want {
			t.Errorf("%q: %d, %v", c.text, got, err)
		}
	}
}

func benchTx(n int) []byte {
	rnd := rand.New(rand.NewPCG(3, 4))
	data := make(Bytes, n)
	for i := range data {
		data[i] = byte(rnd.Uint32())
	}
	return AppendRequest(nil, ExecuteTxList, ExecuteTxListArgs{CoreUID: 1, TxList: TxList{NumTx: 1, Tx: []Tx{{
		Addr: Addr{Address: 0x40210000, MemSpaceID: 2}, AccessType: TxRead, AccessWidth: 4, Data: data, NumBytes: uint32(n)}}}})
}

func BenchmarkRequest(b *testing.B) {
	for _, n := range []int{4, 16 << 10} {
		text := benchTx(n)
		b.Run(fmt.Sprintf("split/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			s := NewSplitter(MaxRequest)
			for b.Loop() {
				if _, ev := s.Next(text); ev != Complete {
					b.Fatal(ev)
				}
			}
		})
		b.Run(fmt.Sprintf("decode/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			var args ExecuteTxListArgs
			for b.Loop() {
				var r Request
				if err := ParseRequest(text, &r); err != nil {
					b.Fatal(err)
				}
				if err := r.DecodeArgs(&args); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("encode/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			var r Request
			var args ExecuteTxListArgs
			if err := errors.Join(ParseRequest(text, &r), r.DecodeArgs(&args)); err != nil {
				b.Fatal(err)
			}
			out := []byte{}
			result := &ExecuteTxListResult{args.TxList}
			for b.Loop() {
				out = AppendReturn(out[:0], r.Command, RetActNone, result, nil)
			}
		})
	}
}
