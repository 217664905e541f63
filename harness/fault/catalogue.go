// SPDX-License-Identifier: Apache-2.0

package fault

import "mcdtest/stub/target"

// Catalogue lists every fault: what goes wrong inside the machine's Target first, then on the wire of either dialect.
var Catalogue = []Fault{
	// Memory.
	{Name: "memory-reads-zeros", Meaning: "a memory read returns zeros", Subjects: []string{"memory"}, WrapTarget: memoryReadsZeros},
	{Name: "memory-byte-order", Meaning: "memory is read and written with each word's bytes reversed", Subjects: []string{"memory"}, WrapTarget: memoryByteOrder},
	{Name: "memory-off-by-one", Meaning: "memory is read and written one byte behind the address", Subjects: []string{"memory"}, WrapTarget: memoryOffByOne},
	{Name: "memory-long-read-repeats", Meaning: "a read of more than 64 bytes repeats the first 64", Subjects: []string{"memory"}, WrapTarget: longReadRepeats},
	{Name: "memory-stale", Meaning: "while the core runs, memory is read as it was the first time", Subjects: []string{"memory"}, WrapTarget: memoryStaleWhileRunning},
	{Name: "memory-read-stops", Meaning: "a memory read stops the running core for a moment", Subjects: []string{"memory"}, WrapTarget: memoryReadStops},
	{Name: "memory-write-ignored", Meaning: "a memory write succeeds and changes nothing", Subjects: []string{"memory"}, WrapTarget: memoryWriteIgnored},
	{Name: "memory-write-spills", Meaning: "a memory write also changes the byte behind it", Subjects: []string{"memory"}, WrapTarget: memoryWriteSpills},
	{Name: "memory-write-cut", Meaning: "a memory write ends at the end of the page, with success", Subjects: []string{"memory"}, WrapTarget: memoryWriteCut},
	{Name: "memory-read-cut", Meaning: "a memory read has nothing behind the end of the page", Subjects: []string{"memory"}, WrapTarget: memoryReadCut},
	{Name: "unmapped-reads-zeros", Meaning: "a read of unmapped memory returns zeros", Subjects: []string{"memory"}, WrapTarget: unmappedReadsZeros},
	{Name: "unmapped-write-succeeds", Meaning: "a write to unmapped memory succeeds", Subjects: []string{"memory"}, WrapTarget: unmappedWriteSucceeds},
	{Name: "memory-spaces-swapped", Meaning: "physical addresses are taken for logical ones, and the other way round", Subjects: []string{"memory"}, WrapTarget: memorySpacesSwapped},

	// Registers.
	{Name: "register-byte-order", Meaning: "registers are read and written with their bytes reversed", Subjects: []string{"registers"}, WrapTarget: registerByteOrder},
	{Name: "register-stale-after-step", Meaning: "a register reads as it did before the step", Subjects: []string{"run control"}, WrapTarget: registerStaleAfterStep},
	{Name: "register-stale-after-write", Meaning: "a register reads as it did before it was written", Subjects: []string{"registers"}, WrapTarget: registerStaleAfterWrite},
	{Name: "register-write-ignored", Meaning: "a register write succeeds and changes nothing", Subjects: []string{"registers"}, WrapTarget: registerWriteIgnored},
	{Name: "register-write-spills", Meaning: "a register write also changes the next register", Subjects: []string{"registers"}, WrapTarget: registerWriteSpills},
	{Name: "register-write-cut", Meaning: "a register write leaves the register's last byte as it was", Subjects: []string{"registers"}, WrapTarget: registerWriteCut},
	{Name: "register-write-refused-silently", Meaning: "a register write that the machine refuses is said to have succeeded", Subjects: []string{"registers"}, WrapTarget: refusedRegisterWriteSucceeds},
	{Name: "register-read-stops", Meaning: "a register read stops the running core", Subjects: []string{"registers"}, WrapTarget: registerReadStops},

	// Tables.
	{Name: "register-size", Meaning: "the list of registers says that pc is twice its size", Subjects: []string{"registers"}, WrapTarget: eachCore(doublePC)},
	{Name: "register-id-shifted", Meaning: "the list of registers gives each the number of the one before it", Subjects: []string{"registers"}, WrapTarget: eachCore(shiftNumbers)},
	{Name: "register-group", Meaning: "all registers are said to be in the first group", Subjects: []string{"topology", "registers"}, WrapTarget: eachCore(firstGroup)},
	{Name: "register-missing", Meaning: "the last register is not listed", Subjects: []string{"topology", "registers"}, WrapTarget: eachCore(dropLastRegister)},
	{Name: "core-missing", Meaning: "the last core is not there", Subjects: []string{"topology", "cores"}, Cores: 2, WrapTarget: otherInfo(dropCore)},
	{Name: "core-invented", Meaning: "there is one core more than the machine has", Subjects: []string{"topology"}, WrapTarget: otherInfo(inventCore)},
	{Name: "core-type", Meaning: "the type of the cores is wrong", Subjects: []string{"topology"}, WrapTarget: eachCore(otherType)},
	{Name: "endianness", Meaning: "the memory spaces are said to have the other byte order", Subjects: []string{"topology", "memory"}, WrapTarget: otherInfo(swapEndianness)},

	// Run control.
	{Name: "stop-does-not-stop", Meaning: "a stop is reported and the core runs on", Subjects: []string{"run control"}, WrapTarget: stopDoesNotStop},
	{Name: "go-does-not-go", Meaning: "a go is taken and the core stands where it stood", Subjects: []string{"run control"}, WrapTarget: goDoesNotGo},
	{Name: "step-of-two", Meaning: "a step executes two instructions", Subjects: []string{"run control"}, WrapTarget: stepOfTwo},
	{Name: "step-of-zero", Meaning: "a step executes nothing", Subjects: []string{"run control"}, WrapTarget: stepOfZero},
	{Name: "step-runs", Meaning: "a step lets the core run", Subjects: []string{"run control"}, WrapTarget: stepRuns},
	{Name: "step-stops", Meaning: "a step stops a core that runs", Subjects: []string{"run control"}, WrapTarget: stepWhileRunningStops},
	{Name: "running-while-standing", Meaning: "after a stop the state says running", Subjects: []string{"run control"}, WrapTarget: runningWhileStanding},
	{Name: "standing-while-running", Meaning: "while the core runs, the state says that it stands", Subjects: []string{"run control"}, WrapTarget: standingWhileRunning},
	{Name: "pause-unnoticed", Meaning: "a stop through QMP is not noticed", Subjects: []string{"run control"}, WrapTarget: pauseUnnoticed},
	{Name: "resume-unnoticed", Meaning: "a go through QMP is not noticed", Subjects: []string{"run control"}, WrapTarget: resumeUnnoticed},
	{Name: "step-called-breakpoint", Meaning: "a step is reported as a breakpoint", Subjects: []string{"run control"}, Dialects: []string{Packet}, WrapTarget: causeWrong(target.CauseStep, target.CauseBreakpoint)},
	{Name: "breakpoint-called-stop", Meaning: "a breakpoint is reported as a stop", Subjects: []string{"breakpoints"}, WrapTarget: causeWrong(target.CauseBreakpoint, target.CauseStop)},
	{Name: "state-reported-twice", Meaning: "the reason of a stop is told twice", Subjects: []string{"run control", "triggers"}, WrapTarget: stateReportedTwice},
	{Name: "state-never-reported", Meaning: "the reason of a stop is never told", Subjects: []string{"run control", "breakpoints"}, WrapTarget: stateNeverReported},

	// Breakpoints.
	{Name: "breakpoint-left-behind", Meaning: "a removed breakpoint stays in the machine", Subjects: []string{"breakpoints"}, WrapTarget: breakpointLeftBehind},
	{Name: "breakpoint-not-inserted", Meaning: "a breakpoint is taken and never stops", Subjects: []string{"breakpoints"}, WrapTarget: notInserted(isExec)},
	{Name: "breakpoint-late", Meaning: "a breakpoint stops behind its instruction", Subjects: []string{"breakpoints"}, WrapTarget: breakpointLate},
	{Name: "breakpoint-fires-once", Meaning: "a breakpoint is gone after its first hit", Subjects: []string{"breakpoints"}, WrapTarget: breakpointFiresOnce},
	{Name: "breakpoint-shows-in-memory", Meaning: "memory reads as a trap instruction where a breakpoint is", Subjects: []string{"breakpoints"}, WrapTarget: breakpointShows},
	{Name: "absent-removal-succeeds", Meaning: "the removal of a trigger that is not there succeeds", Subjects: []string{"breakpoints"}, Dialects: []string{Packet}, WrapTarget: absentRemovalSucceeds},
	{Name: "duplicates-count-once", Meaning: "a trigger that is inserted twice is gone after one removal", Subjects: []string{"breakpoints", "triggers"}, WrapTarget: duplicatesCountOnce},
	{Name: "too-many-triggers", Meaning: "a trigger beyond the limit is taken, and is not there", Subjects: []string{"breakpoints"}, WrapTarget: tooManyTriggers},

	// Watchpoints.
	{Name: "watchpoint-kinds-swapped", Meaning: "a read watchpoint stops at writes and a write watchpoint at reads", Subjects: []string{"watchpoints"}, WrapTarget: otherTrigger(swapReadWrite, swapReadWrite)},
	{Name: "watchpoint-type-reported", Meaning: "a hit read watchpoint is reported as one for writes, and the other way round", Subjects: []string{"watchpoints"}, WrapTarget: reportedTrigger(swapReadWrite)},
	{Name: "watchpoint-address-off", Meaning: "a watchpoint watches the word behind its address", Subjects: []string{"watchpoints"}, WrapTarget: otherTrigger(shiftWatch(4), shiftWatch(^uint64(3)))},
	{Name: "watchpoint-address-reported", Meaning: "a hit watchpoint is reported with another address", Subjects: []string{"watchpoints"}, WrapTarget: reportedTrigger(shiftWatch(4))},
	{Name: "watchpoint-early", Meaning: "a watchpoint stops with pc in front of the access", Subjects: []string{"watchpoints"}, WrapTarget: watchpointEarly},
	{Name: "watchpoint-ignored", Meaning: "a watchpoint is taken and never stops", Subjects: []string{"watchpoints"}, WrapTarget: notInserted(isWatch)},
	{Name: "watchpoint-access-reads-only", Meaning: "an access watchpoint stops at reads only", Subjects: []string{"watchpoints"}, WrapTarget: accessReadsOnly},

	// Several cores.
	{Name: "registers-of-core-0", Meaning: "registers of every core are those of core 0", Subjects: []string{"cores"}, Cores: 2, WrapTarget: registersOfCore0},
	{Name: "state-of-core-0", Meaning: "the state of every core is that of core 0", Subjects: []string{"cores"}, Cores: 2, WrapTarget: stateOfCore0},
	{Name: "steps-other-core", Meaning: "a step is made by the next core", Subjects: []string{"cores"}, Cores: 2, WrapTarget: stepsOtherCore},
	{Name: "step-moves-others", Meaning: "a step of one core also steps the others", Subjects: []string{"cores"}, Cores: 2, WrapTarget: stepMovesOthers},
	{Name: "global-go-of-core-0", Meaning: "a global go lets only core 0 run", Subjects: []string{"cores"}, Cores: 2, WrapTarget: globalGoOfCore0},
	{Name: "global-stop-of-core-0", Meaning: "a global stop stops only core 0", Subjects: []string{"cores"}, Cores: 2, WrapTarget: globalStopOfCore0},
	{Name: "global-step-of-core-0", Meaning: "a global step steps only core 0", Subjects: []string{"cores"}, Cores: 2, WrapTarget: globalStepOfCore0},
	{Name: "go-of-all", Meaning: "a go of one core lets all run", Subjects: []string{"cores"}, Cores: 2, WrapTarget: goOfAll},
	{Name: "stop-of-all", Meaning: "a stop of one core stops all", Subjects: []string{"cores"}, Cores: 2, WrapTarget: stopOfAll},
	{Name: "hit-on-other-core", Meaning: "a hit trigger is reported on the next core", Subjects: []string{"cores"}, Cores: 2, WrapTarget: hitOnOtherCore},
	{Name: "triggers-on-all-cores", Meaning: "a trigger of one core stops every core", Subjects: []string{"cores"}, Cores: 2, WrapTarget: triggersOnAllCores},
	{Name: "triggers-on-core-0", Meaning: "a trigger of any core is put on core 0", Subjects: []string{"cores"}, Cores: 2, WrapTarget: triggersOnCore0},

	// Resets and the end.
	{Name: "reset-does-nothing", Meaning: "a reset is taken and does nothing", Subjects: []string{"reset"}, WrapTarget: resetDoesNothing},
	{Name: "reset-starts", Meaning: "a reset lets stopped cores run", Subjects: []string{"reset"}, WrapTarget: resetStarts},
	{Name: "reset-stops", Meaning: "a reset stops running cores", Subjects: []string{"reset"}, WrapTarget: resetStops},
	{Name: "reset-drops-triggers", Meaning: "a reset removes the triggers", Subjects: []string{"reset"}, WrapTarget: resetDropsTriggers},
	{Name: "reset-never-halts", Meaning: "a reset that is to halt the cores lets running ones run on", Subjects: []string{"reset"}, Dialects: []string{JSON}, WrapTarget: resetNeverHalts},
	{Name: "reset-class-without-effect", Meaning: "a reset class is listed that does nothing", Subjects: []string{"reset"}, WrapTarget: resetClassWithoutEffect},
	{Name: "close-leaves-triggers", Meaning: "closing the server leaves the triggers in the machine", Subjects: []string{"session"}, Dialects: []string{Packet}, WrapTarget: closeLeavesTriggers},
	{Name: "close-does-not-run", Meaning: "closing the server does not let the machine run", Subjects: []string{"session"}, Dialects: []string{Packet}, WrapTarget: closeDoesNotRun},
	{Name: "kill-does-not-kill", Meaning: "a kill does not end QEMU", Subjects: []string{"kill"}, Dialects: []string{Packet}, WrapTarget: killDoesNotKill},
}
