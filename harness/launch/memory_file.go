// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// MemoryFile makes a file without a name. It is gone when the last process that has it open is.
func MemoryFile(name string, content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a file in memory (%s): %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.Write(content); err != nil {
		f.Close()
		return nil, fmt.Errorf("write a file in memory (%s): %w", name, err)
	}
	return f, nil
}
