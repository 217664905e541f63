// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"math"

	"mcdtest/stub/jsonwire"
)

// executeTxList answers mcd-execute-txlist. The list's form is checked before anything of it is carried out; then the
// transactions are carried out in order, up to the first that fails.
func executeTxList(s *session, a *jsonwire.ExecuteTxListArgs, r *jsonwire.ExecuteTxListResult) error {
	c, err := s.core(a.CoreUID)
	if err != nil {
		return err
	}
	list := &a.TxList
	if uint64(list.NumTx) > uint64(len(list.Tx)) {
		return fail(jsonwire.ErrParam, "num-tx is %d, and tx has %d elements", list.NumTx, len(list.Tx))
	}
	list.Tx = list.Tx[:list.NumTx]
	for i := range list.Tx {
		tx := &list.Tx[i]
		if uint64(tx.NumBytes) > uint64(len(tx.Data)) {
			return fail(jsonwire.ErrParam, "num-bytes of transaction %d is %d, and data has %d elements", i, tx.NumBytes, len(tx.Data))
		}
		tx.Data = tx.Data[:tx.NumBytes]
	}
	for i := range list.Tx {
		if err := s.transact(c, &list.Tx[i]); err != nil {
			return err
		}
	}
	list.NumTxOK = list.NumTx
	r.TxList = *list
	return nil
}

// transact carries one transaction out.
func (s *session) transact(c *core, tx *jsonwire.Tx) error {
	if tx.AccessType != jsonwire.TxRead && tx.AccessType != jsonwire.TxWrite {
		return fail(jsonwire.ErrTxListTx, "access-type %d is neither a read nor a write", tx.AccessType)
	}
	if w := uint32(tx.AccessWidth); w != 0 && tx.NumBytes%w != 0 {
		return fail(jsonwire.ErrTxListTx, "%d bytes with an access-width of %d", tx.NumBytes, w)
	}
	var err error
	if desc := &s.info.Cores[c.index]; tx.Addr.MemSpaceID == registerSpace(desc) {
		err = s.transactRegister(c, tx)
	} else {
		err = s.transactMemory(c, tx)
	}
	if err == nil {
		tx.NumBytesOK = tx.NumBytes
	}
	return err
}

func (s *session) transactMemory(c *core, tx *jsonwire.Tx) error {
	space, err := spaceOf(&s.info.Cores[c.index], tx.Addr.MemSpaceID)
	if err != nil || len(tx.Data) == 0 {
		return err
	}
	if tx.AccessType == jsonwire.TxRead {
		if err := s.target.ReadMemory(s.ctx, c.index, space, tx.Addr.Address, tx.Data); err != nil {
			return failed(jsonwire.ErrTxListRead, err)
		}
		return nil
	}
	if err := s.target.WriteMemory(s.ctx, c.index, space, tx.Addr.Address, tx.Data); err != nil {
		return failed(jsonwire.ErrTxListWrite, err)
	}
	return nil
}

func (s *session) transactRegister(c *core, tx *jsonwire.Tx) error {
	code := jsonwire.ErrTxListRead
	if tx.AccessType == jsonwire.TxWrite {
		code = jsonwire.ErrTxListWrite
	}
	if tx.Addr.Address > math.MaxInt32 {
		return fail(code, "core %d has no register %d", c.index, tx.Addr.Address)
	}
	number := int(tx.Addr.Address)
	reg, ok := s.info.Cores[c.index].Register(number)
	if !ok {
		return fail(code, "core %d has no register %d", c.index, number)
	}
	if len(tx.Data) != reg.Bytes() {
		return fail(jsonwire.ErrTxListTx, "register %s (%d) has %d bytes, not %d", reg.Name, number, reg.Bytes(), len(tx.Data))
	}
	if tx.AccessType == jsonwire.TxWrite {
		if err := s.target.WriteRegister(s.ctx, c.index, number, tx.Data); err != nil {
			return failed(code, err)
		}
		return nil
	}
	data, err := s.target.ReadRegister(s.ctx, c.index, number, tx.Data[:0])
	if err != nil {
		return failed(code, err)
	}
	if len(data) != reg.Bytes() {
		return fail(code, "register %s (%d) came with %d bytes instead of %d", reg.Name, number, len(data), reg.Bytes())
	}
	tx.Data = data
	return nil
}
