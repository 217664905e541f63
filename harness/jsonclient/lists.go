// SPDX-License-Identifier: Apache-2.0

package jsonclient

import (
	"context"
	"fmt"

	"mcdtest/stub/jsonwire"
)

// registersAtOnce is how many registers the real client asks for at once: the reply has to fit into its buffer.
const registersAtOnce = 100

// all reads a whole list: the count first, then the elements, at most step at once.
func all[T any](what string, step uint32, query func(start, num uint32) (uint32, []T, error)) ([]T, error) {
	count, _, err := query(0, 0)
	if err != nil || count == 0 {
		return nil, err
	}
	if count > jsonwire.MaxCount {
		return nil, fmt.Errorf("%s: %w: a list of %d", what, ErrBadReply, count)
	}
	list := make([]T, 0, count)
	for uint32(len(list)) < count {
		num := min(step, count-uint32(len(list)))
		got, part, err := query(uint32(len(list)), num)
		if err != nil {
			return nil, err
		}
		if got != num || uint32(len(part)) != num {
			return nil, fmt.Errorf("%s: %w: asked for %d elements from %d on of %d; the count of the reply is %d, and it has %d",
				what, ErrBadReply, num, len(list), count, got, len(part))
		}
		list = append(list, part...)
	}
	return list, nil
}

// MemSpaces lists the memory spaces of a core, one by one as the real client does.
func (c *Client) MemSpaces(ctx context.Context, core uint32) ([]jsonwire.MemSpace, error) {
	return all(jsonwire.QryMemSpaces, 1, func(start, num uint32) (uint32, []jsonwire.MemSpace, error) {
		r, err := c.QryMemSpaces(ctx, core, start, num)
		return r.NumMemSpaces, r.MemSpaces, err
	})
}

// RegGroups lists the register groups of a core, one by one as the real client does.
func (c *Client) RegGroups(ctx context.Context, core uint32) ([]jsonwire.RegGroup, error) {
	return all(jsonwire.QryRegGroups, 1, func(start, num uint32) (uint32, []jsonwire.RegGroup, error) {
		r, err := c.QryRegGroups(ctx, core, start, num)
		return r.NumRegGroups, r.RegGroups, err
	})
}

// Regs lists the registers of a group, or of all groups with 0.
func (c *Client) Regs(ctx context.Context, core, group uint32) ([]jsonwire.Reg, error) {
	return all(jsonwire.QryRegMap, registersAtOnce, func(start, num uint32) (uint32, []jsonwire.Reg, error) {
		r, err := c.QryRegMap(ctx, core, group, start, num)
		return r.NumRegs, r.RegInfo, err
	})
}

// Cores lists the cores of the first device of the first system, which are all there are. The server must be open.
func (c *Client) Cores(ctx context.Context) ([]jsonwire.Con, error) {
	systems, err := c.QrySystems(ctx, 0, 1)
	if err != nil {
		return nil, err
	}
	if len(systems.SystemConInfo) != 1 {
		return nil, fmt.Errorf("%s: %w: asked for one system, %d came", jsonwire.QrySystems, ErrBadReply, len(systems.SystemConInfo))
	}
	devices, err := c.QryDevices(ctx, systems.SystemConInfo[0], 0, 1)
	if err != nil {
		return nil, err
	}
	if len(devices.DeviceConInfo) != 1 {
		return nil, fmt.Errorf("%s: %w: asked for one device, %d came", jsonwire.QryDevices, ErrBadReply, len(devices.DeviceConInfo))
	}
	return all(jsonwire.QryCores, 1, func(start, num uint32) (uint32, []jsonwire.Con, error) {
		r, err := c.QryCores(ctx, devices.DeviceConInfo[0], start, num)
		return r.NumCores, r.CoreConInfo, err
	})
}
