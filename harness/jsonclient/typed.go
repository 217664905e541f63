// SPDX-License-Identifier: Apache-2.0

package jsonclient

import (
	"context"

	"mcdtest/stub/jsonwire"
)

// A method for every command, in the order of the table. core is a core-uid. start and num select elements of a list; with num
// 0 the result is the count alone.

// call is Call with a result of the type that is wanted.
func call[R any](ctx context.Context, c *Client, name string, args any) (R, error) {
	var r R
	err := c.Call(ctx, name, args, &r)
	return r, err
}

// Initialize sends mcd-initialize.
func (c *Client) Initialize(ctx context.Context, req jsonwire.Version) (jsonwire.ImplInfo, error) {
	r, err := call[jsonwire.InitializeResult](ctx, c, jsonwire.Initialize, jsonwire.InitializeArgs{VersionReq: req})
	return r.ImplInfo, err
}

// Exit sends mcd-exit.
func (c *Client) Exit(ctx context.Context) error {
	return c.Call(ctx, jsonwire.Exit, jsonwire.NoArgs{}, nil)
}

// QryServers sends mcd-qry-servers.
func (c *Client) QryServers(ctx context.Context, host string, running bool, start, num uint32) (jsonwire.QryServersResult, error) {
	return call[jsonwire.QryServersResult](ctx, c, jsonwire.QryServers,
		jsonwire.QryServersArgs{Host: host, Running: running, StartIndex: start, NumServers: num})
}

// OpenServer sends mcd-open-server.
func (c *Client) OpenServer(ctx context.Context, systemKey, config string) (jsonwire.OpenServerResult, error) {
	return call[jsonwire.OpenServerResult](ctx, c, jsonwire.OpenServer, jsonwire.OpenServerArgs{SystemKey: systemKey, ConfigString: config})
}

// CloseServer sends mcd-close-server.
func (c *Client) CloseServer(ctx context.Context, server uint32) error {
	return c.Call(ctx, jsonwire.CloseServer, jsonwire.CloseServerArgs{ServerUID: server}, nil)
}

// QrySystems sends mcd-qry-systems.
func (c *Client) QrySystems(ctx context.Context, start, num uint32) (jsonwire.QrySystemsResult, error) {
	return call[jsonwire.QrySystemsResult](ctx, c, jsonwire.QrySystems, jsonwire.QrySystemsArgs{StartIndex: start, NumSystems: num})
}

// QryDevices sends mcd-qry-devices.
func (c *Client) QryDevices(ctx context.Context, system jsonwire.Con, start, num uint32) (jsonwire.QryDevicesResult, error) {
	return call[jsonwire.QryDevicesResult](ctx, c, jsonwire.QryDevices,
		jsonwire.QryDevicesArgs{SystemConInfo: system, StartIndex: start, NumDevices: num})
}

// QryCores sends mcd-qry-cores.
func (c *Client) QryCores(ctx context.Context, device jsonwire.Con, start, num uint32) (jsonwire.QryCoresResult, error) {
	return call[jsonwire.QryCoresResult](ctx, c, jsonwire.QryCores,
		jsonwire.QryCoresArgs{ConnectionInfo: device, StartIndex: start, NumCores: num})
}

// OpenCore sends mcd-open-core.
func (c *Client) OpenCore(ctx context.Context, core jsonwire.Con) (jsonwire.OpenCoreResult, error) {
	return call[jsonwire.OpenCoreResult](ctx, c, jsonwire.OpenCore, jsonwire.OpenCoreArgs{CoreConInfo: core})
}

// CloseCore sends mcd-close-core.
func (c *Client) CloseCore(ctx context.Context, core uint32) error {
	return c.Call(ctx, jsonwire.CloseCore, jsonwire.CoreArgs{CoreUID: core}, nil)
}

// QryErrorInfo sends mcd-qry-error-info. core 0 is the server.
func (c *Client) QryErrorInfo(ctx context.Context, core uint32) (jsonwire.ErrorInfo, error) {
	return call[jsonwire.ErrorInfo](ctx, c, jsonwire.QryErrorInfo, jsonwire.CoreArgs{CoreUID: core})
}

// QryMemSpaces sends mcd-qry-mem-spaces.
func (c *Client) QryMemSpaces(ctx context.Context, core, start, num uint32) (jsonwire.QryMemSpacesResult, error) {
	return call[jsonwire.QryMemSpacesResult](ctx, c, jsonwire.QryMemSpaces,
		jsonwire.QryMemSpacesArgs{CoreUID: core, StartIndex: start, NumMemSpaces: num})
}

// QryRegGroups sends mcd-qry-reg-groups.
func (c *Client) QryRegGroups(ctx context.Context, core, start, num uint32) (jsonwire.QryRegGroupsResult, error) {
	return call[jsonwire.QryRegGroupsResult](ctx, c, jsonwire.QryRegGroups,
		jsonwire.QryRegGroupsArgs{CoreUID: core, StartIndex: start, NumRegGroups: num})
}

// QryRegMap sends mcd-qry-reg-map. group 0 is all groups.
func (c *Client) QryRegMap(ctx context.Context, core, group, start, num uint32) (jsonwire.QryRegMapResult, error) {
	return call[jsonwire.QryRegMapResult](ctx, c, jsonwire.QryRegMap,
		jsonwire.QryRegMapArgs{CoreUID: core, RegGroupID: group, StartIndex: start, NumRegs: num})
}

// ExecuteTxList sends mcd-execute-txlist. num-tx is the number of transactions.
func (c *Client) ExecuteTxList(ctx context.Context, core uint32, tx ...jsonwire.Tx) (jsonwire.TxList, error) {
	r, err := call[jsonwire.ExecuteTxListResult](ctx, c, jsonwire.ExecuteTxList,
		jsonwire.ExecuteTxListArgs{CoreUID: core, TxList: jsonwire.TxList{Tx: tx, NumTx: uint32(len(tx))}})
	return r.TxList, err
}

// Run sends mcd-run.
func (c *Client) Run(ctx context.Context, core uint32, global bool) error {
	return c.Call(ctx, jsonwire.Run, jsonwire.RunArgs{CoreUID: core, Global: global}, nil)
}

// Stop sends mcd-stop.
func (c *Client) Stop(ctx context.Context, core uint32, global bool) error {
	return c.Call(ctx, jsonwire.Stop, jsonwire.RunArgs{CoreUID: core, Global: global}, nil)
}

// Step sends mcd-step.
func (c *Client) Step(ctx context.Context, core uint32, global bool, kind jsonwire.StepType, n uint32) error {
	return c.Call(ctx, jsonwire.Step, jsonwire.StepArgs{CoreUID: core, Global: global, StepType: kind, NSteps: n}, nil)
}

// SetGlobal sends mcd-set-global.
func (c *Client) SetGlobal(ctx context.Context, core uint32, enable bool) error {
	return c.Call(ctx, jsonwire.SetGlobal, jsonwire.SetGlobalArgs{CoreUID: core, Enable: enable}, nil)
}

// QryState sends mcd-qry-state.
func (c *Client) QryState(ctx context.Context, core uint32) (jsonwire.State, error) {
	r, err := call[jsonwire.QryStateResult](ctx, c, jsonwire.QryState, jsonwire.CoreArgs{CoreUID: core})
	return r.State, err
}

// QryRstClasses sends mcd-qry-rst-classes.
func (c *Client) QryRstClasses(ctx context.Context, core uint32) (vector uint32, err error) {
	r, err := call[jsonwire.QryRstClassesResult](ctx, c, jsonwire.QryRstClasses, jsonwire.CoreArgs{CoreUID: core})
	return r.RstClassVector, err
}

// QryRstClassInfo sends mcd-qry-rst-class-info.
func (c *Client) QryRstClassInfo(ctx context.Context, core uint32, class uint8) (jsonwire.RstInfo, error) {
	r, err := call[jsonwire.QryRstClassInfoResult](ctx, c, jsonwire.QryRstClassInfo,
		jsonwire.QryRstClassInfoArgs{CoreUID: core, RstClass: class})
	return r.RstInfo, err
}

// Rst sends mcd-rst.
func (c *Client) Rst(ctx context.Context, core, vector uint32, halt bool) error {
	return c.Call(ctx, jsonwire.Rst, jsonwire.RstArgs{CoreUID: core, RstClassVector: vector, RstAndHalt: halt}, nil)
}

// QryTrigInfo sends mcd-qry-trig-info.
func (c *Client) QryTrigInfo(ctx context.Context, core uint32) (jsonwire.TrigInfo, error) {
	r, err := call[jsonwire.QryTrigInfoResult](ctx, c, jsonwire.QryTrigInfo, jsonwire.CoreArgs{CoreUID: core})
	return r.TrigInfo, err
}

// QryCtrigs sends mcd-qry-ctrigs.
func (c *Client) QryCtrigs(ctx context.Context, core, start, num uint32) (jsonwire.QryCtrigsResult, error) {
	return call[jsonwire.QryCtrigsResult](ctx, c, jsonwire.QryCtrigs,
		jsonwire.QryCtrigsArgs{CoreUID: core, StartIndex: start, NumCtrigs: num})
}

// CreateTrig sends mcd-create-trig.
func (c *Client) CreateTrig(ctx context.Context, core uint32, trig jsonwire.Trig) (jsonwire.CreateTrigResult, error) {
	return call[jsonwire.CreateTrigResult](ctx, c, jsonwire.CreateTrig, jsonwire.CreateTrigArgs{CoreUID: core, Trig: trig})
}

// QryTrig sends mcd-qry-trig.
func (c *Client) QryTrig(ctx context.Context, core, trig uint32) (jsonwire.Trig, error) {
	r, err := call[jsonwire.QryTrigResult](ctx, c, jsonwire.QryTrig, jsonwire.TrigArgs{CoreUID: core, TrigID: trig})
	return r.Trig, err
}

// RemoveTrig sends mcd-remove-trig.
func (c *Client) RemoveTrig(ctx context.Context, core, trig uint32) error {
	return c.Call(ctx, jsonwire.RemoveTrig, jsonwire.TrigArgs{CoreUID: core, TrigID: trig}, nil)
}

// QryTrigState sends mcd-qry-trig-state.
func (c *Client) QryTrigState(ctx context.Context, core, trig uint32) (jsonwire.TrigState, error) {
	r, err := call[jsonwire.QryTrigStateResult](ctx, c, jsonwire.QryTrigState, jsonwire.TrigArgs{CoreUID: core, TrigID: trig})
	return r.TrigState, err
}

// ActivateTrigSet sends mcd-activate-trig-set.
func (c *Client) ActivateTrigSet(ctx context.Context, core uint32) error {
	return c.Call(ctx, jsonwire.ActivateTrigSet, jsonwire.CoreArgs{CoreUID: core}, nil)
}

// RemoveTrigSet sends mcd-remove-trig-set.
func (c *Client) RemoveTrigSet(ctx context.Context, core uint32) error {
	return c.Call(ctx, jsonwire.RemoveTrigSet, jsonwire.CoreArgs{CoreUID: core}, nil)
}

// QryTrigSet sends mcd-qry-trig-set.
func (c *Client) QryTrigSet(ctx context.Context, core, start, num uint32) (jsonwire.QryTrigSetResult, error) {
	return call[jsonwire.QryTrigSetResult](ctx, c, jsonwire.QryTrigSet,
		jsonwire.QryTrigSetArgs{CoreUID: core, StartIndex: start, NumTrigs: num})
}

// QryTrigSetState sends mcd-qry-trig-set-state.
func (c *Client) QryTrigSetState(ctx context.Context, core uint32) (jsonwire.TrigSetState, error) {
	r, err := call[jsonwire.QryTrigSetStateResult](ctx, c, jsonwire.QryTrigSetState, jsonwire.CoreArgs{CoreUID: core})
	return r.TrigState, err
}
