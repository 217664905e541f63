// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/onsi/gomega"

	"mcdtest/harness/result"
	"mcdtest/harness/runner"
)

// WorkerCommand is the first argument of a program that is to be a worker of a run: Worker gets the rest. It is not for
// people.
const WorkerCommand = "mcdtest-suite-worker"

// WorkerArgs are the arguments of a worker, WorkerCommand included. seed shuffles the specs unless it is 0.
func WorkerArgs(seed int64) []string {
	return []string{WorkerCommand, "{fd}", strconv.FormatInt(seed, 10)}
}

// parent is the run that this process is a worker of; nil if ginkgo or go test runs the specs.
var parent *runner.Worker

// claimed is the item that runs for the parent. Specs of a process run one after another.
var claimed string

// gracePeriod is what a spec gets to return after its time is over.
const gracePeriod = 5 * time.Second

// Worker runs the specs that a parent deals to this process, and returns the exit status. The settings come from the
// environment.
func Worker(args []string) int {
	if err := join(args); err != nil {
		fmt.Fprintf(os.Stderr, "mcdtest %s: %v\n", WorkerCommand, err)
		return 2
	}
	seed, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		parent.Problem(fmt.Sprintf("the seed %q is no number", args[1]))
		return 2
	}
	gomega.RegisterFailHandler(Fail)
	suite, reporter := ginkgo.GinkgoConfiguration()
	suite.RandomizeAllSpecs = seed != 0
	suite.RandomSeed = seed
	suite.GracePeriod = gracePeriod
	suite.Timeout = 0 // the parent sees to that
	ginkgo.RunSpecs(outcome{}, "Multi-Core Debug", suite, reporter)
	if parent.End() != nil {
		return 2
	}
	return 0
}

func join(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("this command is started by mcdtest itself")
	}
	fd, err := strconv.Atoi(args[0])
	if err != nil {
		return fmt.Errorf("this command is started by mcdtest itself, with a descriptor instead of %q", args[0])
	}
	// Machines end with this process, so there is nothing to clean up once the parent is gone.
	parent, err = runner.Join(fd, describe, func() { os.Exit(2) })
	return err
}

// outcome takes Ginkgo's verdict on the whole run, which says nothing that the reports have not said.
type outcome struct{}

func (outcome) Fail() {}

// describe says where the spec stands that runs.
func describe() string {
	r := current.Load()
	if r == nil {
		return "between two machines\n"
	}
	return r.Describe()
}

// The parent may take its time to decide, so it is asked before the spec's time begins.
var _ = ginkgo.ReportBeforeEach(func(report ginkgo.SpecReport) {
	if parent == nil {
		return
	}
	id := strings.TrimPrefix(report.FullText(), treeName+" ")
	mine, err := parent.Claim(id)
	if err != nil {
		os.Exit(2) // the parent is gone
	}
	if mine {
		claimed = id
	}
})

// mine skips a spec that another worker has.
func mine(item Item) {
	if parent != nil && claimed != item.ID() {
		ginkgo.Skip("another worker has it")
	}
}

var _ = ginkgo.ReportAfterEach(func(report ginkgo.SpecReport) {
	if parent == nil {
		return
	}
	id := claimed
	claimed = ""
	if id != "" {
		s := specResult(id, report)
		parent.Report(s) // a parent that is gone ends this process elsewhere
		if s.Evidence != nil {
			clear(s.Evidence.Machines) // Ginkgo keeps every report, and the conversations are long
		}
	} else if report.Failed() {
		parent.Problem(report.FailureMessage()) // see broken
	}
})

// specResult is what a result file says of a spec.
func specResult(id string, report ginkgo.SpecReport) result.Spec {
	s := result.Spec{ID: id, Outcome: result.Failed, Took: report.RunTime}
	switch report.State {
	case types.SpecStatePassed:
		s.Outcome = result.Passed
	case types.SpecStateSkipped, types.SpecStatePending:
		s.Outcome, s.Reason = result.Skipped, report.FailureMessage()
	case types.SpecStateInterrupted, types.SpecStateAborted:
		s.Outcome, s.Failure = result.Interrupted, report.FailureMessage()
	default:
		s.Failure, s.Location = report.FailureMessage(), report.FailureLocation().String()
		if report.State == types.SpecStatePanicked {
			s.Failure += "\n" + report.Failure.ForwardedPanic + "\n" + report.FailureLocation().FullStackTrace
		}
		for _, more := range report.AdditionalFailures {
			s.Failure += "\n\nAnd then: " + more.Failure.Message
		}
	}
	for _, e := range report.ReportEntries {
		if ev, ok := e.GetRawValue().(result.Evidence); ok && e.Name == result.EvidenceName {
			s.Evidence = &ev
		}
	}
	return s
}
