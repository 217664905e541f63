// SPDX-License-Identifier: Apache-2.0

package jsonwire

import (
	"fmt"
	"strings"
)

// ReturnStatus is the return-status of a reply (mcd_return_et).
type ReturnStatus uint32

// Values of return-status.
const (
	RetActNone        ReturnStatus = 0 // done
	RetActAgain       ReturnStatus = 1 // try again later
	RetActHandleEvent ReturnStatus = 2 // done, and an event is to be looked at
	RetActHandleError ReturnStatus = 3 // not done; mcd-qry-error-info says why
)

var statusNames = map[ReturnStatus]string{
	RetActNone: "MCD_RET_ACT_NONE", RetActAgain: "MCD_RET_ACT_AGAIN",
	RetActHandleEvent: "MCD_RET_ACT_HANDLE_EVENT", RetActHandleError: "MCD_RET_ACT_HANDLE_ERROR",
}

func (s ReturnStatus) String() string { return nameOf(statusNames, s, "status") }

// ErrorCode is the error-code of mcd-qry-error-info (mcd_error_code_et).
type ErrorCode uint32

// Error codes.
const (
	ErrNone                ErrorCode = 0x0000
	ErrFnUnimplemented     ErrorCode = 0x0100
	ErrUsage               ErrorCode = 0x0101
	ErrParam               ErrorCode = 0x0102
	ErrConnection          ErrorCode = 0x0200
	ErrTimedOut            ErrorCode = 0x0201
	ErrGeneral             ErrorCode = 0x0F00
	ErrResultTooLong       ErrorCode = 0x1000
	ErrCouldNotStartServer ErrorCode = 0x1100
	ErrServerLocked        ErrorCode = 0x1101
	ErrNoMemSpaces         ErrorCode = 0x1401
	ErrNoMemBlocks         ErrorCode = 0x1402
	ErrMemSpaceID          ErrorCode = 0x1410
	ErrNoRegGroups         ErrorCode = 0x1440
	ErrRegGroupID          ErrorCode = 0x1441
	ErrRegNotCompound      ErrorCode = 0x1442
	ErrOverlays            ErrorCode = 0x1500
	ErrDeviceAccess        ErrorCode = 0x1900
	ErrDeviceLocked        ErrorCode = 0x1901
	ErrTxListRead          ErrorCode = 0x2100
	ErrTxListWrite         ErrorCode = 0x2101
	ErrTxListTx            ErrorCode = 0x2102
	ErrChlTypeNotSupported ErrorCode = 0x3100
	ErrChlTargetNotSupp    ErrorCode = 0x3101
	ErrChlSetup            ErrorCode = 0x3102
	ErrChlMessageFailed    ErrorCode = 0x3140
	ErrTrigCreate          ErrorCode = 0x3200
	ErrTrigAccess          ErrorCode = 0x3201
	ErrCustom              ErrorCode = 0x10000000 // the first of an implementation's own
)

var errorNames = map[ErrorCode]string{
	ErrNone: "MCD_ERR_NONE", ErrFnUnimplemented: "MCD_ERR_FN_UNIMPLEMENTED", ErrUsage: "MCD_ERR_USAGE", ErrParam: "MCD_ERR_PARAM",
	ErrConnection: "MCD_ERR_CONNECTION", ErrTimedOut: "MCD_ERR_TIMED_OUT", ErrGeneral: "MCD_ERR_GENERAL", ErrResultTooLong: "MCD_ERR_RESULT_TOO_LONG",
	ErrCouldNotStartServer: "MCD_ERR_COULD_NOT_START_SERVER", ErrServerLocked: "MCD_ERR_SERVER_LOCKED",
	ErrNoMemSpaces: "MCD_ERR_NO_MEM_SPACES", ErrNoMemBlocks: "MCD_ERR_NO_MEM_BLOCKS", ErrMemSpaceID: "MCD_ERR_MEM_SPACE_ID",
	ErrNoRegGroups: "MCD_ERR_NO_REG_GROUPS", ErrRegGroupID: "MCD_ERR_REG_GROUP_ID", ErrRegNotCompound: "MCD_ERR_REG_NOT_COMPOUND",
	ErrOverlays: "MCD_ERR_NO_OVERLAYS", ErrDeviceAccess: "MCD_ERR_DEVICE_ACCESS", ErrDeviceLocked: "MCD_ERR_DEVICE_LOCKED",
	ErrTxListRead: "MCD_ERR_TXLIST_READ", ErrTxListWrite: "MCD_ERR_TXLIST_WRITE", ErrTxListTx: "MCD_ERR_TXLIST_TX",
	ErrChlTypeNotSupported: "MCD_ERR_CHL_TYPE_NOT_SUPPORTED", ErrChlTargetNotSupp: "MCD_ERR_CHL_TARGET_NOT_SUPPORTED",
	ErrChlSetup: "MCD_ERR_CHL_SETUP", ErrChlMessageFailed: "MCD_ERR_CHL_MESSAGE_FAILED",
	ErrTrigCreate: "MCD_ERR_TRIG_CREATE", ErrTrigAccess: "MCD_ERR_TRIG_ACCESS",
}

func (c ErrorCode) String() string { return nameOf(errorNames, c, "error") }

// ErrorEvent is a bit of error-events (mcd_error_event_et).
type ErrorEvent uint32

// Bits of error-events.
const (
	ErrEvtReset    ErrorEvent = 1
	ErrEvtPwrDn    ErrorEvent = 2
	ErrEvtHwFailed ErrorEvent = 4
)

var errorEventNames = []bitName[ErrorEvent]{{ErrEvtReset, "MCD_ERR_EVT_RESET"}, {ErrEvtPwrDn, "MCD_ERR_EVT_PWRDN"}, {ErrEvtHwFailed, "MCD_ERR_EVT_HWFAILURE"}}

func (e ErrorEvent) String() string { return namesOf(errorEventNames, e, "MCD_ERR_EVT_NONE") }

// CoreState is the state of a core (mcd_core_state_et).
type CoreState uint32

// States of a core.
const (
	CoreStateUnknown CoreState = 0
	CoreStateRunning CoreState = 1
	CoreStateHalted  CoreState = 2
	CoreStateDebug   CoreState = 3
)

var stateNames = map[CoreState]string{
	CoreStateUnknown: "MCD_CORE_STATE_UNKNOWN", CoreStateRunning: "MCD_CORE_STATE_RUNNING",
	CoreStateHalted: "MCD_CORE_STATE_HALTED", CoreStateDebug: "MCD_CORE_STATE_DEBUG",
}

func (s CoreState) String() string { return nameOf(stateNames, s, "state") }

// CoreEvent is a bit of a core state's event (mcd_core_event_et).
type CoreEvent uint32

// Events of a core.
const (
	CoreEventNone          CoreEvent = 0
	CoreEventTriggerChange CoreEvent = 0x08
	CoreEventStopped       CoreEvent = 0x10
)

var eventNames = []bitName[CoreEvent]{{CoreEventTriggerChange, "MCD_CORE_EVENT_TRIGGER_CHANGE"}, {CoreEventStopped, "MCD_CORE_EVENT_STOPPED"}}

func (e CoreEvent) String() string { return namesOf(eventNames, e, "MCD_CORE_EVENT_NONE") }

// StopPaused is the stop-str of a core that stands.
const StopPaused = "RUN_STATE_PAUSED"

// StepType is what mcd-step counts (mcd_core_step_type_et).
type StepType uint32

// Step types.
const (
	StepCycles       StepType = 1
	StepInstructions StepType = 2
)

var stepNames = map[StepType]string{StepCycles: "MCD_CORE_STEP_TYPE_CYCLES", StepInstructions: "MCD_CORE_STEP_TYPE_INSTR"}

func (t StepType) String() string { return nameOf(stepNames, t, "step type") }

// AccessType is what a transaction does (mcd_tx_access_type_et).
type AccessType uint32

// Access types. A server of this dialect carries out reads and writes only.
const (
	TxRead      AccessType = 1
	TxWrite     AccessType = 2
	TxReadWrite AccessType = 3
	TxWriteRead AccessType = 4
)

var accessNames = map[AccessType]string{TxRead: "MCD_TX_AT_R", TxWrite: "MCD_TX_AT_W", TxReadWrite: "MCD_TX_AT_RW", TxWriteRead: "MCD_TX_AT_WR"}

func (t AccessType) String() string { return nameOf(accessNames, t, "access type") }

// MemType is the type of a memory space, a set of bits (mcd_mem_type_et).
type MemType uint32

// Bits of memory types.
const (
	MemIsRegisters MemType = 0x00001
	MemIsProgram   MemType = 0x00002
	MemIsVirtual   MemType = 0x00004
	MemIsCache     MemType = 0x00008
	MemIsPhysical  MemType = 0x00010
	MemIsLogical   MemType = 0x00020
	MemIsSecure    MemType = 0x10000
)

var memNames = []bitName[MemType]{
	{MemIsRegisters, "MCD_MEM_SPACE_IS_REGISTERS"}, {MemIsProgram, "MCD_MEM_SPACE_IS_PROGRAM"}, {MemIsVirtual, "MCD_MEM_SPACE_IS_VIRTUAL"},
	{MemIsCache, "MCD_MEM_SPACE_IS_CACHE"}, {MemIsPhysical, "MCD_MEM_SPACE_IS_PHYSICAL"}, {MemIsLogical, "MCD_MEM_SPACE_IS_LOGICAL"},
	{MemIsSecure, "MCD_MEM_SPACE_IS_SECURE"},
}

func (t MemType) String() string { return namesOf(memNames, t, "MCD_MEM_SPACE_DEFAULT") }

// Endian is the byte order of a memory space (mcd_endian_et).
type Endian uint32

// Byte orders.
const (
	EndianDefault Endian = 0
	EndianLittle  Endian = 1
	EndianBig     Endian = 2
)

var endianNames = map[Endian]string{EndianDefault: "MCD_ENDIAN_DEFAULT", EndianLittle: "MCD_ENDIAN_LITTLE", EndianBig: "MCD_ENDIAN_BIG"}

func (e Endian) String() string { return nameOf(endianNames, e, "endian") }

// TrigType is the type of a trigger, one bit, or what types a core has, several (mcd_trig_type_et).
type TrigType uint32

// Trigger types.
const (
	TrigTypeIP    TrigType = 1 // execution
	TrigTypeRead  TrigType = 2
	TrigTypeWrite TrigType = 4
	TrigTypeRW    TrigType = 8
)

var trigNames = []bitName[TrigType]{{TrigTypeIP, "MCD_TRIG_TYPE_IP"}, {TrigTypeRead, "MCD_TRIG_TYPE_READ"}, {TrigTypeWrite, "MCD_TRIG_TYPE_WRITE"}, {TrigTypeRW, "MCD_TRIG_TYPE_RW"}}

func (t TrigType) String() string { return namesOf(trigNames, t, "MCD_TRIG_TYPE_UNKNOWN") }

// TrigAction is what a trigger does when it hits (mcd_trig_action_et).
type TrigAction uint32

// TrigActionDebug stops the core in debug state.
const TrigActionDebug TrigAction = 1

var actionNames = map[TrigAction]string{TrigActionDebug: "MCD_TRIG_ACTION_DBG_DEBUG"}

func (a TrigAction) String() string { return nameOf(actionNames, a, "action") }

// RegTypeSimple is the reg-type of a register that is part of no other (mcd_reg_type_et).
const RegTypeSimple = 0

func nameOf[T ~uint32](names map[T]string, v T, what string) string {
	if n, ok := names[v]; ok {
		return n
	}
	return fmt.Sprintf("%s %#x", what, uint32(v))
}

type bitName[T ~uint32] struct {
	bit  T
	name string
}

func namesOf[T ~uint32](names []bitName[T], v T, none string) string {
	if v == 0 {
		return none
	}
	var list []string
	for _, n := range names {
		if v&n.bit != 0 {
			list = append(list, n.name)
			v &^= n.bit
		}
	}
	if v != 0 {
		list = append(list, fmt.Sprintf("%#x", uint32(v)))
	}
	return strings.Join(list, "|")
}
