// SPDX-License-Identifier: Apache-2.0

package stub

import (
	"context"
	"time"
)

// limiter spaces events out: as many at once as may happen in a second, then evenly.
type limiter struct {
	interval time.Duration // 0: no limit
	// due is when the next event would happen if all had been spaced evenly; it may lie up to a second in the future.
	due time.Time
}

func newLimiter(perSecond int) *limiter {
	if perSecond <= 0 {
		return &limiter{}
	}
	return &limiter{interval: time.Second / time.Duration(perSecond)}
}

// wait returns when the next event may happen.
func (l *limiter) wait(ctx context.Context) error {
	if l.interval == 0 {
		return nil
	}
	now := time.Now()
	if l.due.Before(now) {
		l.due = now
	}
	early := l.due.Sub(now) - time.Second + l.interval
	l.due = l.due.Add(l.interval)
	return wait(ctx, early)
}

// wait returns after d, or with an error when ctx is done.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
