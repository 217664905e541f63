// SPDX-License-Identifier: Apache-2.0

package jsonwire

import "reflect"

// Command is one command of the dialect.
type Command struct {
	Name    string
	Args    []Arg
	Result  []Arg // keys beside return-status
	Meaning string

	// Index is the place in Commands, so that a server can keep what belongs to a command in an array.
	Index int

	// NoStatus marks mcd-exit, the one command whose reply has no return-status.
	NoStatus bool

	args, result reflect.Type
}

// NewArgs makes a pointer to the command's arguments, all zero.
func (c *Command) NewArgs() any { return reflect.New(c.args).Interface() }

// NewResult makes a pointer to the command's result, all zero.
func (c *Command) NewResult() any { return reflect.New(c.result).Interface() }

// Names of the commands.
const (
	Initialize      = "mcd-initialize"
	Exit            = "mcd-exit"
	QryServers      = "mcd-qry-servers"
	OpenServer      = "mcd-open-server"
	CloseServer     = "mcd-close-server"
	QrySystems      = "mcd-qry-systems"
	QryDevices      = "mcd-qry-devices"
	QryCores        = "mcd-qry-cores"
	OpenCore        = "mcd-open-core"
	CloseCore       = "mcd-close-core"
	QryErrorInfo    = "mcd-qry-error-info"
	QryMemSpaces    = "mcd-qry-mem-spaces"
	QryRegGroups    = "mcd-qry-reg-groups"
	QryRegMap       = "mcd-qry-reg-map"
	ExecuteTxList   = "mcd-execute-txlist"
	Run             = "mcd-run"
	Stop            = "mcd-stop"
	Step            = "mcd-step"
	SetGlobal       = "mcd-set-global"
	QryState        = "mcd-qry-state"
	QryRstClasses   = "mcd-qry-rst-classes"
	QryRstClassInfo = "mcd-qry-rst-class-info"
	Rst             = "mcd-rst"
	QryTrigInfo     = "mcd-qry-trig-info"
	QryCtrigs       = "mcd-qry-ctrigs"
	CreateTrig      = "mcd-create-trig"
	QryTrig         = "mcd-qry-trig"
	RemoveTrig      = "mcd-remove-trig"
	QryTrigState    = "mcd-qry-trig-state"
	ActivateTrigSet = "mcd-activate-trig-set"
	RemoveTrigSet   = "mcd-remove-trig-set"
	QryTrigSet      = "mcd-qry-trig-set"
	QryTrigSetState = "mcd-qry-trig-set-state"
)

// Commands is every command of the dialect.
var Commands = []Command{
	define[InitializeArgs, InitializeResult](Initialize, "agree on the version of the API"),
	define[NoArgs, NoResult](Exit, "close everything that this connection has opened"),
	define[QryServersArgs, QryServersResult](QryServers, "what servers there are"),
	define[OpenServerArgs, OpenServerResult](OpenServer, "open the server"),
	define[CloseServerArgs, NoResult](CloseServer, "close the server and its cores, remove the triggers"),
	define[QrySystemsArgs, QrySystemsResult](QrySystems, "what systems the server has"),
	define[QryDevicesArgs, QryDevicesResult](QryDevices, "what devices a system has"),
	define[QryCoresArgs, QryCoresResult](QryCores, "what cores a device has"),
	define[OpenCoreArgs, OpenCoreResult](OpenCore, "open a core"),
	define[CoreArgs, NoResult](CloseCore, "close a core, remove its triggers"),
	define[CoreArgs, ErrorInfo](QryErrorInfo, "why the last command of a core failed; core-uid 0: of the server"),
	define[QryMemSpacesArgs, QryMemSpacesResult](QryMemSpaces, "memory spaces of a core"),
	define[QryRegGroupsArgs, QryRegGroupsResult](QryRegGroups, "register groups of a core"),
	define[QryRegMapArgs, QryRegMapResult](QryRegMap, "registers of a group, or of all"),
	define[ExecuteTxListArgs, ExecuteTxListResult](ExecuteTxList, "read and write memory and registers"),
	define[RunArgs, NoResult](Run, "let one core run, or all"),
	define[RunArgs, NoResult](Stop, "stop one core, or all"),
	define[StepArgs, NoResult](Step, "execute instructions on one core, or on each"),
	define[SetGlobalArgs, NoResult](SetGlobal, "whether global run, stop and step act on a core"),
	define[CoreArgs, QryStateResult](QryState, "run state of a core"),
	define[CoreArgs, QryRstClassesResult](QryRstClasses, "what reset classes there are"),
	define[QryRstClassInfoArgs, QryRstClassInfoResult](QryRstClassInfo, "what a reset class is"),
	define[RstArgs, NoResult](Rst, "reset"),
	define[CoreArgs, QryTrigInfoResult](QryTrigInfo, "what triggers a core can have"),
	define[QryCtrigsArgs, QryCtrigsResult](QryCtrigs, "custom triggers of a core"),
	define[CreateTrigArgs, CreateTrigResult](CreateTrig, "add a trigger to a core"),
	define[TrigArgs, QryTrigResult](QryTrig, "a trigger as it was created"),
	define[TrigArgs, NoResult](RemoveTrig, "remove a trigger"),
	define[TrigArgs, QryTrigStateResult](QryTrigState, "whether a trigger is active and has hit"),
	define[CoreArgs, NoResult](ActivateTrigSet, "arm every trigger of a core anew"),
	define[CoreArgs, NoResult](RemoveTrigSet, "remove every trigger of a core"),
	define[QryTrigSetArgs, QryTrigSetResult](QryTrigSet, "ids of a core's triggers"),
	define[CoreArgs, QryTrigSetStateResult](QryTrigSetState, "whether a core's triggers are active"),
}

var byName = make(map[string]*Command, len(Commands))

func init() {
	for i := range Commands {
		c := &Commands[i]
		c.Index = i
		c.NoStatus = c.Name == Exit
		byName[c.Name] = c
	}
}

// Lookup finds a command by its name, or returns nil.
func Lookup(name string) *Command { return byName[name] }

func define[A, R any](name, meaning string) Command {
	a, r := reflect.TypeFor[A](), reflect.TypeFor[R]()
	return Command{Name: name, Args: argsOf(a), Result: argsOf(r), Meaning: meaning, args: a, result: r}
}

// Arguments and results that several commands share.
type (
	// NoArgs is for commands without arguments.
	NoArgs struct{}
	// NoResult is for commands whose reply is a return-status at most.
	NoResult struct{}
	// CoreArgs names an open core.
	CoreArgs struct {
		CoreUID uint32 `json:"core-uid" mcd:"core-uid"`
	}
	// RunArgs names an open core, or with Global all of them.
	RunArgs struct {
		CoreUID uint32 `json:"core-uid" mcd:"core-uid"`
		Global  bool   `json:"global"`
	}
	// TrigArgs names a trigger of a core.
	TrigArgs struct {
		CoreUID uint32 `json:"core-uid" mcd:"core-uid"`
		TrigID  uint32 `json:"trig-id" mcd:"trig-id"`
	}
)

// Arguments of the other commands.
type (
	InitializeArgs struct {
		VersionReq Version `json:"version-req"`
	}
	QryServersArgs struct {
		Host       string `json:"host"`
		Running    bool   `json:"running"`
		StartIndex uint32 `json:"start-index" mcd:"index"`
		NumServers uint32 `json:"num-servers" mcd:"count"`
	}
	OpenServerArgs struct {
		SystemKey    string `json:"system-key"`
		ConfigString string `json:"config-string"`
	}
	CloseServerArgs struct {
		ServerUID uint32 `json:"server-uid" mcd:"server-uid"`
	}
	QrySystemsArgs struct {
		StartIndex uint32 `json:"start-index" mcd:"index"`
		NumSystems uint32 `json:"num-systems" mcd:"count"`
	}
	QryDevicesArgs struct {
		SystemConInfo Con    `json:"system-con-info"`
		StartIndex    uint32 `json:"start-index" mcd:"index"`
		NumDevices    uint32 `json:"num-devices" mcd:"count"`
	}
	QryCoresArgs struct {
		ConnectionInfo Con    `json:"connection-info"`
		StartIndex     uint32 `json:"start-index" mcd:"index"`
		NumCores       uint32 `json:"num-cores" mcd:"count"`
	}
	OpenCoreArgs struct {
		CoreConInfo Con `json:"core-con-info"`
	}
	QryMemSpacesArgs struct {
		CoreUID      uint32 `json:"core-uid" mcd:"core-uid"`
		StartIndex   uint32 `json:"start-index" mcd:"index"`
		NumMemSpaces uint32 `json:"num-mem-spaces" mcd:"count"`
	}
	QryRegGroupsArgs struct {
		CoreUID      uint32 `json:"core-uid" mcd:"core-uid"`
		StartIndex   uint32 `json:"start-index" mcd:"index"`
		NumRegGroups uint32 `json:"num-reg-groups" mcd:"count"`
	}
	QryRegMapArgs struct {
		CoreUID    uint32 `json:"core-uid" mcd:"core-uid"`
		RegGroupID uint32 `json:"reg-group-id" mcd:"reg-group-id"` // 0: registers of all groups
		StartIndex uint32 `json:"start-index" mcd:"index"`
		NumRegs    uint32 `json:"num-regs" mcd:"count"`
	}
	ExecuteTxListArgs struct {
		CoreUID uint32 `json:"core-uid" mcd:"core-uid"`
		TxList  TxList `json:"txlist"`
	}
	StepArgs struct {
		CoreUID  uint32   `json:"core-uid" mcd:"core-uid"`
		Global   bool     `json:"global"`
		StepType StepType `json:"step-type" mcd:"step-type"`
		NSteps   uint32   `json:"n-steps" mcd:"steps"`
	}
	SetGlobalArgs struct {
		CoreUID uint32 `json:"core-uid" mcd:"core-uid"`
		Enable  bool   `json:"enable"`
	}
	QryRstClassInfoArgs struct {
		CoreUID  uint32 `json:"core-uid" mcd:"core-uid"`
		RstClass uint8  `json:"rst-class" mcd:"rst-class"`
	}
	RstArgs struct {
		CoreUID        uint32 `json:"core-uid" mcd:"core-uid"`
		RstClassVector uint32 `json:"rst-class-vector" mcd:"rst-class-vector"`
		RstAndHalt     bool   `json:"rst-and-halt"`
	}
	QryCtrigsArgs struct {
		CoreUID    uint32 `json:"core-uid" mcd:"core-uid"`
		StartIndex uint32 `json:"start-index" mcd:"index"`
		NumCtrigs  uint32 `json:"num-ctrigs" mcd:"count"`
	}
	CreateTrigArgs struct {
		CoreUID uint32 `json:"core-uid" mcd:"core-uid"`
		Trig    Trig   `json:"trig"`
	}
	QryTrigSetArgs struct {
		CoreUID    uint32 `json:"core-uid" mcd:"core-uid"`
		StartIndex uint32 `json:"start-index" mcd:"index"`
		NumTrigs   uint32 `json:"num-trigs" mcd:"count"`
	}
)

// Results. A list is absent when only the count was asked for.
type (
	InitializeResult struct {
		ImplInfo ImplInfo `json:"impl-info"`
	}
	QryServersResult struct {
		NumServers uint32       `json:"num-servers"`
		ServerInfo []ServerInfo `json:"server-info,omitempty"`
	}
	OpenServerResult struct {
		ServerUID    uint32 `json:"server-uid"`
		Host         string `json:"host"`
		ConfigString string `json:"config-string"`
	}
	QrySystemsResult struct {
		NumSystems    uint32 `json:"num-systems"`
		SystemConInfo []Con  `json:"system-con-info,omitempty"`
	}
	QryDevicesResult struct {
		NumDevices    uint32 `json:"num-devices"`
		DeviceConInfo []Con  `json:"device-con-info,omitempty"`
	}
	QryCoresResult struct {
		NumCores    uint32 `json:"num-cores"`
		CoreConInfo []Con  `json:"core-con-info,omitempty"`
	}
	OpenCoreResult struct {
		CoreUID     uint32 `json:"core-uid"`
		CoreConInfo Con    `json:"core-con-info"`
	}
	// ErrorInfo is the result of mcd-qry-error-info. Its return-status is that of the command that it tells about.
	ErrorInfo struct {
		Status ReturnStatus `json:"-"`
		Code   ErrorCode    `json:"error-code"`
		Events ErrorEvent   `json:"error-events"`
		Str    string       `json:"error-str"`
	}
	QryMemSpacesResult struct {
		NumMemSpaces uint32     `json:"num-mem-spaces"`
		MemSpaces    []MemSpace `json:"mem-spaces,omitempty"`
	}
	QryRegGroupsResult struct {
		NumRegGroups uint32     `json:"num-reg-groups"`
		RegGroups    []RegGroup `json:"reg-groups,omitempty"`
	}
	QryRegMapResult struct {
		NumRegs uint32 `json:"num-regs"`
		RegInfo []Reg  `json:"reg-info,omitempty"`
	}
	ExecuteTxListResult struct {
		TxList TxList `json:"txlist"`
	}
	QryStateResult struct {
		State State `json:"state"`
	}
	QryRstClassesResult struct {
		RstClassVector uint32 `json:"rst-class-vector"`
	}
	QryRstClassInfoResult struct {
		RstInfo RstInfo `json:"rst-info"`
	}
	QryTrigInfoResult struct {
		TrigInfo TrigInfo `json:"trig-info"`
	}
	QryCtrigsResult struct {
		NumCtrigs uint32      `json:"num-ctrigs"`
		CtrigInfo []CtrigInfo `json:"ctrig-info,omitempty"`
	}
	CreateTrigResult struct {
		Trig   Trig   `json:"trig"`
		TrigID uint32 `json:"trig-id"`
	}
	QryTrigResult struct {
		Trig Trig `json:"trig"`
	}
	QryTrigStateResult struct {
		TrigState TrigState `json:"trig-state"`
	}
	QryTrigSetResult struct {
		NumTrigs uint32   `json:"num-trigs"`
		TrigIDs  []uint32 `json:"trig-ids,omitempty"`
	}
	QryTrigSetStateResult struct {
		TrigState TrigSetState `json:"trig-state"`
	}
)
