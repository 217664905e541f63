// SPDX-License-Identifier: Apache-2.0

package jsonwire

// Version is a version of the MCD API.
type Version struct {
	Major  uint16 `json:"v-api-major"`
	Minor  uint16 `json:"v-api-minor"`
	Author string `json:"author"`
}

// ImplInfo describes an implementation of the MCD API (mcd_impl_version_info_st).
type ImplInfo struct {
	API    Version `json:"v-api"`
	Major  uint16  `json:"v-imp-major"`
	Minor  uint16  `json:"v-imp-minor"`
	Build  uint16  `json:"v-imp-build"`
	Vendor string  `json:"vendor"`
	Date   string  `json:"date"`
}

// ServerInfo describes a server (mcd_server_info_st).
type ServerInfo struct {
	Server         string `json:"server"`
	SystemInstance string `json:"system-instance"`
	AccHW          string `json:"acc-hw"`
}

// Con says how to reach a server, system, device or core (mcd_core_con_info_st). All keys are mandatory; what does not
// apply is empty or 0.
type Con struct {
	Host           string `json:"host"`
	ServerPort     uint32 `json:"server-port"`
	ServerKey      string `json:"server-key"`
	SystemKey      string `json:"system-key"`
	DeviceKey      string `json:"device-key"`
	System         string `json:"system" mcd:"system"`
	SystemInstance string `json:"system-instance"`
	AccHW          string `json:"acc-hw"`
	DeviceType     uint32 `json:"device-type"`
	Device         string `json:"device" mcd:"device"`
	DeviceID       uint32 `json:"device-id"`
	Core           string `json:"core" mcd:"core"`
	CoreType       uint32 `json:"core-type"`
	CoreID         uint32 `json:"core-id" mcd:"core-id"`
}

// Addr is an address in a memory space (mcd_addr_st).
type Addr struct {
	Address       uint64 `json:"address" mcd:"address"`
	MemSpaceID    uint32 `json:"mem-space-id" mcd:"mem-space-id"`
	AddrSpaceID   uint32 `json:"addr-space-id"`
	AddrSpaceType uint32 `json:"addr-space-type"`
}

// MemSpace describes a memory space (mcd_memspace_st).
type MemSpace struct {
	ID                     uint32  `json:"mem-space-id"` // from 1
	Name                   string  `json:"mem-space-name"`
	Type                   MemType `json:"mem-type"`
	BitsPerMAU             uint32  `json:"bits-per-mau"`
	Invariance             uint8   `json:"invariance"`
	Endian                 Endian  `json:"endian"`
	MinAddr                uint64  `json:"min-addr"`
	MaxAddr                uint64  `json:"max-addr"`
	NumMemBlocks           uint32  `json:"num-mem-blocks"`
	SupportedAccessOptions uint32  `json:"supported-access-options"`
	CoreModeMaskRead       uint32  `json:"core-mode-mask-read"`
	CoreModeMaskWrite      uint32  `json:"core-mode-mask-write"`
}

// RegGroup describes a register group (mcd_register_group_st).
type RegGroup struct {
	ID        uint32 `json:"reg-group-id"` // from 1
	Name      string `json:"reg-group-name"`
	Registers uint32 `json:"n-registers"`
}

// Reg describes a register (mcd_register_info_st). Its address is where transactions read and write it.
type Reg struct {
	Addr              Addr   `json:"addr"`
	GroupID           uint32 `json:"reg-group-id"`
	Name              string `json:"regname"`
	Size              uint32 `json:"regsize"` // in bits
	CoreModeMaskRead  uint32 `json:"core-mode-mask-read"`
	CoreModeMaskWrite uint32 `json:"core-mode-mask-write"`
	SideEffectsRead   bool   `json:"side-effects-read"`
	SideEffectsWrite  bool   `json:"side-effects-write"`
	Type              uint32 `json:"reg-type"`
	HWThreadID        uint32 `json:"hw-thread-id"`
}

// Tx is one transaction (mcd_tx_st). Data has NumBytes entries for reads too.
type Tx struct {
	Addr        Addr       `json:"addr"`
	AccessType  AccessType `json:"access-type" mcd:"access-type"`
	Options     uint32     `json:"options"`
	AccessWidth uint8      `json:"access-width" mcd:"access-width"`
	CoreMode    uint8      `json:"core-mode"`
	Data        Bytes      `json:"data"`
	NumBytes    uint32     `json:"num-bytes" mcd:"length"`
	NumBytesOK  uint32     `json:"num-bytes-ok"`
}

// TxList is a list of transactions, carried out in order (mcd_txlist_st).
type TxList struct {
	Tx      []Tx   `json:"tx"`
	NumTx   uint32 `json:"num-tx" mcd:"length"`
	NumTxOK uint32 `json:"num-tx-ok"`
}

// State is the state of a core (mcd_core_state_st).
type State struct {
	State      CoreState `json:"state"`
	Event      CoreEvent `json:"event"`
	HWThreadID uint32    `json:"hw-thread-id"`
	TrigID     uint32    `json:"trig-id"`
	StopStr    string    `json:"stop-str"`
	InfoStr    string    `json:"info-str"`
}

// RstInfo describes a reset class (mcd_rst_info_st).
type RstInfo struct {
	ClassVector uint32 `json:"class-vector"`
	InfoStr     string `json:"info-str"`
}

// TrigInfo says what triggers a core has (mcd_trig_info_st).
type TrigInfo struct {
	Type          TrigType   `json:"type"`
	Option        uint32     `json:"option"`
	Action        TrigAction `json:"action"`
	TrigNumber    uint32     `json:"trig-number"`
	StateNumber   uint32     `json:"state-number"`
	CounterNumber uint32     `json:"counter-number"`
	SWBreakpoints bool       `json:"sw-breakpoints"`
}

// CtrigInfo describes a custom trigger (mcd_ctrig_info_st).
type CtrigInfo struct {
	ID      uint32 `json:"ctrig-id"`
	InfoStr string `json:"info-str"`
}

// TrigSimpleCore is a trigger with an address as its only condition (mcd_trig_simple_core_st).
type TrigSimpleCore struct {
	Type        TrigType   `json:"type" mcd:"trig-type"`
	Option      uint32     `json:"option"`
	Action      TrigAction `json:"action" mcd:"trig-action"`
	ActionParam uint32     `json:"action-param"`
	Modified    bool       `json:"modified"`
	StateMask   uint32     `json:"state-mask"`
	AddrStart   Addr       `json:"addr-start"`
	AddrRange   uint64     `json:"addr-range"`
}

// TrigComplexCore is a trigger with more conditions (mcd_trig_complex_core_st).
type TrigComplexCore struct {
	Type         TrigType   `json:"type" mcd:"trig-type"`
	Option       uint32     `json:"option"`
	Action       TrigAction `json:"action" mcd:"trig-action"`
	ActionParam  uint32     `json:"action-param"`
	Modified     bool       `json:"modified"`
	StateMask    uint32     `json:"state-mask"`
	AddrStart    Addr       `json:"addr-start"`
	AddrRange    uint64     `json:"addr-range"`
	DataStart    uint64     `json:"data-start"`
	DataRange    uint64     `json:"data-range"`
	DataMask     uint64     `json:"data-mask"`
	DataSize     uint32     `json:"data-size"`
	HWThreadID   uint32     `json:"hw-thread-id"`
	SWThreadID   uint64     `json:"sw-thread-id"`
	CoreModeMask uint32     `json:"core-mode-mask"`
}

// Trig is a trigger: exactly one of the two.
type Trig struct {
	SimpleCore  *TrigSimpleCore  `json:"trig-simple-core,omitempty"`
	ComplexCore *TrigComplexCore `json:"trig-complex-core,omitempty"`
}

// TrigState is the state of a trigger (mcd_trig_state_st).
type TrigState struct {
	Active        bool   `json:"active"`
	Captured      bool   `json:"captured"`
	CapturedValid bool   `json:"captured-valid"`
	CountValue    uint64 `json:"count-value"`
	CountValid    bool   `json:"count-valid"`
}

// TrigSetState is the state of a core's trigger set (mcd_trig_set_state_st).
type TrigSetState struct {
	Active        bool   `json:"active"`
	State         uint32 `json:"state"`
	StateValid    bool   `json:"state-valid"`
	TrigBus       uint32 `json:"trig-bus"`
	TrigBusValid  bool   `json:"trig-bus-valid"`
	Trace         bool   `json:"trace"`
	TraceValid    bool   `json:"trace-valid"`
	Analysis      bool   `json:"analysis"`
	AnalysisValid bool   `json:"analysis-valid"`
}
