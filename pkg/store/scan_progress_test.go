package store_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/sweep"
)

const minutes = 2 * time.Minute // what a lease lasts

func job(day string, shard int) sweep.Job {
	d, err := clock.ParseDay(day)
	if err != nil {
		panic(err)
	}
	return sweep.Job{Kind: sweep.Expiring, Day: d, Shard: shard}
}

var tonight = job("2031-05-07", 3)

func TestAcquire(t *testing.T) {
	t.Parallel()
	f := open(t)
	now := storetest.Now
	progress := sweep.Progress{Cursor: 77, Unmarked: []sweep.Debt{{Token: 5<<22 + 1}, {Token: 5<<22 + 2, To: 9}, {Token: 6<<22 + 1, To: 1234567890}}, Counts: sweep.Counts{Examined: 9, Due: 8, Mails: 4, Marked: 6, Failed: 1, BotsRemoved: 3, Skipped: map[string]int{"revoked": 1, "owner_gone": 2}}}
	done := progress
	done.Done = true
	expired := tonight
	expired.Kind = sweep.Expired

	for _, c := range []struct {
		name   string
		saved  *sweep.Progress // by the first holder, who then keeps the lease until Now
		job    sweep.Job       // that the second wants
		holder string
		at     time.Duration // after the lease's end
		want   sweep.Progress
		err    error
	}{
		{"a second before the lease ends it is the first's", &progress, tonight, "second", -time.Second, sweep.Progress{}, sweep.ErrLeased},
		{"at its end it is anybody's", &progress, tonight, "second", 0, progress, nil},
		{"a second after its end it is anybody's", &progress, tonight, "second", time.Second, progress, nil},
		{"a lease that was never used is kept too", nil, tonight, "second", -time.Second, sweep.Progress{}, sweep.ErrLeased},
		{"a job that was never saved is at its start", nil, tonight, "second", 0, sweep.Progress{}, nil},
		{"the first may take it again", &progress, tonight, "first", -time.Second, progress, nil},
		{"another shard is free", &progress, job("2031-05-07", 4), "second", -time.Second, sweep.Progress{}, nil},
		{"the other scan is free", &progress, expired, "second", -time.Second, sweep.Progress{}, nil},
		{"another day is not: the days that it covers overlap", &progress, job("2031-05-06", 3), "second", -time.Second, sweep.Progress{}, sweep.ErrLeased},
		{"another day has progress of its own", &progress, job("2031-05-06", 3), "second", 0, sweep.Progress{}, nil},
		{"a job that is done is told so", &done, tonight, "second", -time.Second, done, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := open(t)
			_, err := f.Store.Acquire(t.Context(), tonight, "first", now.Add(-minutes), now)
			wantErr(t, f, err, nil)
			if c.saved != nil {
				wantErr(t, f, f.Store.Save(t.Context(), tonight, "first", *c.saved, now), nil)
			}
			at := now.Add(c.at)
			got, err := f.Store.Acquire(t.Context(), c.job, c.holder, at, at.Add(minutes))
			wantErr(t, f, err, c.err)
			wantEqual(t, "progress", got, c.want)
		})
	}

	t.Run("a job that is done leaves the lease to others", func(t *testing.T) {
		f := open(t)
		_, err := f.Store.Acquire(t.Context(), tonight, "first", now, now.Add(minutes))
		wantErr(t, f, err, nil)
		wantErr(t, f, f.Store.Save(t.Context(), tonight, "first", done, now.Add(minutes)), nil)
		_, err = f.Store.Acquire(t.Context(), tonight, "second", now, now.Add(minutes))
		wantErr(t, f, err, nil)
		_, err = f.Store.Acquire(t.Context(), job("2031-05-08", 3), "third", now, now.Add(minutes))
		wantErr(t, f, err, nil)
		got, err := f.Store.Acquire(t.Context(), tonight, "fourth", now, now.Add(minutes))
		wantErr(t, f, err, nil)
		wantEqual(t, "done", got.Done, true) // although the third is at work
		_, err = f.Store.Acquire(t.Context(), job("2031-05-08", 3), "fifth", now, now.Add(minutes))
		wantErr(t, f, err, sweep.ErrLeased) // and the third's lease was not touched
	})

	t.Run("of many at once one gets it", func(t *testing.T) {
		winners := 0
		for _, err := range together(8, func(i int) error {
			_, err := f.Store.Acquire(t.Context(), job("2031-05-07", 9), string(rune('a'+i)), now, now.Add(minutes))
			return err
		}) {
			if err == nil {
				winners++
			} else {
				wantErr(t, f, err, sweep.ErrLeased)
			}
		}
		wantEqual(t, "winners", winners, 1)
	})

	t.Run("a lost reply is made good", func(t *testing.T) {
		proxy := storetest.NewProxy(t, storetest.Endpoint(t))
		for shard, action := range []storetest.Action{storetest.LoseReply, storetest.CutReply, storetest.LoseRequest, busy("UpdateItem")} {
			proxy.Fail(storetest.First("UpdateItem", action))
			_, err := f.Through(proxy.Client()).Acquire(t.Context(), job("2031-06-01", shard), "first", now, now.Add(minutes))
			wantErr(t, f, err, nil)
			_, err = f.Store.Acquire(t.Context(), job("2031-06-01", shard), "second", now, now.Add(minutes))
			wantErr(t, f, err, sweep.ErrLeased)
		}
	})

	t.Run("without a reply nothing is leased for sure", func(t *testing.T) {
		proxy := storetest.NewProxy(t, storetest.Endpoint(t))
		for _, action := range []storetest.Action{storetest.LoseReply, storetest.LoseRequest, storetest.Answer(http.StatusOK, `<html>`)} {
			proxy.Fail(storetest.Always(action))
			_, err := f.Through(proxy.Client()).Acquire(t.Context(), job("2031-07-01", 1), "first", now, now.Add(minutes))
			wantErr(t, f, err, fault.ErrUnavailable)
		}
	})

	t.Run("malformed progress is not taken for a start", func(t *testing.T) {
		f := open(t)
		_, err := f.Store.Acquire(t.Context(), tonight, "first", now, now)
		wantErr(t, f, err, nil)
		wantErr(t, f, f.Store.Save(t.Context(), tonight, "first", progress, now), nil)
		for attribute, value := range map[string]string{"cursor": "x", "done": "x"} {
			f.Set(t, "SCAN#expiring#2031-05-07", "SHARD#03", attribute, storetest.S(value))
			_, err = f.Store.Acquire(t.Context(), tonight, "second", now, now)
			wantErr(t, f, err, fault.ErrCorrupt)
			f.Set(t, "SCAN#expiring#2031-05-07", "SHARD#03", attribute, nil)
		}
	})
}

func TestSave(t *testing.T) {
	t.Parallel()
	now := storetest.Now
	acquired := func(t *testing.T) *storetest.Fixture {
		f := open(t)
		_, err := f.Store.Acquire(t.Context(), tonight, "first", now, now.Add(minutes))
		wantErr(t, f, err, nil)
		return f
	}
	stored := func(t *testing.T, f *storetest.Fixture, at time.Time) (sweep.Progress, error) {
		t.Helper()
		return f.Store.Acquire(t.Context(), tonight, "reader", at, at)
	}
	progress := sweep.Progress{Cursor: 5, Counts: sweep.Counts{Mails: 2}}

	t.Run("it extends the lease", func(t *testing.T) {
		t.Parallel()
		f := acquired(t)
		wantErr(t, f, f.Store.Save(t.Context(), tonight, "first", progress, now.Add(2*minutes)), nil)
		_, err := stored(t, f, now.Add(2*minutes-time.Second))
		wantErr(t, f, err, sweep.ErrLeased)
		got, err := stored(t, f, now.Add(2*minutes))
		wantErr(t, f, err, nil)
		wantEqual(t, "progress", got, progress)
	})

	t.Run("the zero time releases it", func(t *testing.T) {
		t.Parallel()
		f := acquired(t)
		wantErr(t, f, f.Store.Save(t.Context(), tonight, "first", progress, time.Time{}), nil)
		got, err := stored(t, f, now)
		wantErr(t, f, err, nil)
		wantEqual(t, "progress", got, progress)
	})

	t.Run("one who was succeeded changes nothing", func(t *testing.T) {
		t.Parallel()
		f := acquired(t)
		_, err := f.Store.Acquire(t.Context(), tonight, "second", now.Add(minutes), now.Add(2*minutes))
		wantErr(t, f, err, nil)
		wantErr(t, f, f.Store.Save(t.Context(), tonight, "second", progress, now.Add(2*minutes)), nil)
		before := f.Snapshot(t)
		late := sweep.Progress{Cursor: 99, Done: true}
		for _, until := range []time.Time{{}, now.Add(9 * minutes)} {
			wantErr(t, f, f.Store.Save(t.Context(), tonight, "first", late, until), sweep.ErrLeaseLost)
			wantErr(t, f, f.Store.Save(t.Context(), tonight, "nobody", late, until), sweep.ErrLeaseLost)
		}
		wantUnchanged(t, f, before)
	})

	t.Run("one who was succeeded by another day's run changes nothing", func(t *testing.T) {
		t.Parallel()
		f := acquired(t)
		_, err := f.Store.Acquire(t.Context(), job("2031-05-08", 3), "second", now.Add(minutes), now.Add(2*minutes))
		wantErr(t, f, err, nil)
		before := f.Snapshot(t)
		wantErr(t, f, f.Store.Save(t.Context(), tonight, "first", progress, now.Add(9*minutes)), sweep.ErrLeaseLost)
		wantUnchanged(t, f, before)
	})

	t.Run("a lease that ended is still the last holder's", func(t *testing.T) {
		t.Parallel()
		f := acquired(t)
		wantErr(t, f, f.Store.Save(t.Context(), tonight, "first", progress, now.Add(9*minutes)), nil)
	})

	t.Run("what it keeps is taken by clean-up in the end", func(t *testing.T) {
		t.Parallel()
		f := acquired(t)
		wantErr(t, f, f.Store.Save(t.Context(), tonight, "first", progress, now.Add(minutes)), nil)
		it := f.Item(t, "SCAN#expiring#2031-05-07", "SHARD#03")
		wantEqual(t, "delete after", it["delete_after"], any(int(tonight.Day.AddDays(90).Start().Unix())))
		wantEqual(t, "clean-up of the lease", f.Item(t, "SCAN#expiring", "SHARD#03")["delete_after"], nil)
	})

	for name, c := range map[string]struct {
		p     sweep.Progress
		until time.Time
	}{
		"an extension": {progress, now.Add(2 * minutes)},
		"a release":    {progress, time.Time{}},
		"the end":      {sweep.Progress{Cursor: 5, Done: true}, now.Add(2 * minutes)},
	} {
		t.Run(name+" whose reply is lost is made good", func(t *testing.T) {
			t.Parallel()
			proxy := storetest.NewProxy(t, storetest.Endpoint(t))
			for _, rule := range []storetest.Rule{
				storetest.First("TransactWriteItems", storetest.LoseReply),
				storetest.First("TransactWriteItems", storetest.LoseRequest),
				storetest.First("TransactWriteItems", storetest.CutReply, busy("TransactWriteItems")),
				storetest.On("TransactWriteItems", storetest.LoseReply), // all of them: the lease tells
			} {
				f := acquired(t)
				proxy.Fail(rule)
				wantErr(t, f, f.Through(proxy.Client()).Save(t.Context(), tonight, "first", c.p, c.until), nil)
				got, err := stored(t, f, now.Add(2*minutes))
				wantErr(t, f, err, nil)
				wantEqual(t, "progress", got, c.p)
			}
		})
		// A run that wrongly believed in its lease could send what another sends.
		t.Run(name+" that never arrived is unavailable", func(t *testing.T) {
			t.Parallel()
			proxy := storetest.NewProxy(t, storetest.Endpoint(t))
			f := acquired(t)
			wantErr(t, f, f.Store.Save(t.Context(), tonight, "first", c.p, now.Add(minutes+time.Second)), nil)
			_, err := f.Store.Acquire(t.Context(), job("2031-05-08", 3), "first", now, now.Add(minutes))
			wantErr(t, f, err, nil)
			proxy.Fail(storetest.On("TransactWriteItems", storetest.LoseRequest))
			wantErr(t, f, f.Through(proxy.Client()).Save(t.Context(), tonight, "first", c.p, c.until), fault.ErrUnavailable)
		})
	}
}

func TestFinished(t *testing.T) {
	t.Parallel()
	f := open(t)
	finished := func(t *testing.T, kind sweep.Kind, shard int) string {
		t.Helper()
		day, err := f.Store.Finished(t.Context(), kind, shard)
		wantErr(t, f, err, nil)
		return day.String()
	}

	t.Run("a shard that never finished has no day", func(t *testing.T) {
		_, err := f.Store.Finished(t.Context(), sweep.Expiring, 3)
		wantErr(t, f, err, fault.ErrNotFound)
		_, err = f.Store.Acquire(t.Context(), tonight, "first", storetest.Now, storetest.Now)
		wantErr(t, f, err, nil)
		_, err = f.Store.Finished(t.Context(), sweep.Expiring, 3) // nor has one that was only begun
		wantErr(t, f, err, fault.ErrNotFound)
	})

	t.Run("it moves forwards only", func(t *testing.T) {
		for _, c := range []struct{ set, want string }{
			{"2031-05-07", "2031-05-07"}, {"2031-05-06", "2031-05-07"}, {"2031-05-07", "2031-05-07"},
			{"2031-05-08", "2031-05-08"}, {"2032-01-01", "2032-01-01"}, {"2031-12-31", "2032-01-01"},
		} {
			wantErr(t, f, f.Store.SetFinished(t.Context(), job(c.set, 3)), nil)
			wantEqual(t, "after "+c.set, finished(t, sweep.Expiring, 3), c.want)
		}
		for kind, shard := range map[sweep.Kind]int{sweep.Expiring: 4, sweep.Expired: 3} {
			_, err := f.Store.Finished(t.Context(), kind, shard)
			wantErr(t, f, err, fault.ErrNotFound)
		}
	})

	t.Run("the lease stays as it is", func(t *testing.T) {
		_, err := f.Store.Acquire(t.Context(), job("2031-05-07", 5), "first", storetest.Now, storetest.Now.Add(minutes))
		wantErr(t, f, err, nil)
		wantErr(t, f, f.Store.SetFinished(t.Context(), job("2031-05-07", 5)), nil)
		_, err = f.Store.Acquire(t.Context(), job("2031-05-07", 5), "second", storetest.Now, storetest.Now.Add(minutes))
		wantErr(t, f, err, sweep.ErrLeased)
	})

	t.Run("a lost reply is made good", func(t *testing.T) {
		proxy := storetest.NewProxy(t, storetest.Endpoint(t))
		proxy.Fail(storetest.First("UpdateItem", storetest.LoseReply))
		wantErr(t, f, f.Through(proxy.Client()).SetFinished(t.Context(), job("2031-05-07", 6)), nil)
		wantEqual(t, "day", finished(t, sweep.Expiring, 6), "2031-05-07")
		proxy.Fail(storetest.Always(storetest.LoseRequest))
		wantErr(t, f, f.Through(proxy.Client()).SetFinished(t.Context(), job("2031-05-08", 6)), fault.ErrUnavailable)
	})

	t.Run("a day that cannot be read is malformed", func(t *testing.T) {
		f.Set(t, "SCAN#expiring", "SHARD#03", "finished_on", storetest.S("soon"))
		_, err := f.Store.Finished(t.Context(), sweep.Expiring, 3)
		wantErr(t, f, err, fault.ErrCorrupt)
		f.Set(t, "SCAN#expiring", "SHARD#03", "finished_on", storetest.N("7"))
		_, err = f.Store.Finished(t.Context(), sweep.Expiring, 3)
		wantErr(t, f, err, fault.ErrCorrupt)
	})
}

// A debt that makes no sense is one mail more; to refuse it would be a scan that never ends.
func TestMalformedDebts(t *testing.T) {
	t.Parallel()
	f := open(t)
	until := storetest.Now.Add(minutes)
	_, err := f.Store.Acquire(t.Context(), tonight, "first", storetest.Now, until)
	wantErr(t, f, err, nil)
	good := sweep.Debt{Token: 5<<22 + 1, To: 9}
	wantErr(t, f, f.Store.Save(t.Context(), tonight, "first", sweep.Progress{Unmarked: []sweep.Debt{good}}, until), nil)
	list := []types.AttributeValue{
		storetest.S("20971521@9"), storetest.S("20971521"), storetest.S("@9"), storetest.S("20971521@"), storetest.S("20971521@0"),
		storetest.S("x@9"), storetest.S("20971521@9@9"), storetest.S(""), storetest.N("0"), storetest.N("1.5"), &types.AttributeValueMemberBOOL{Value: true},
	}
	f.Set(t, "SCAN#expiring#2031-05-07", "SHARD#03", "unmarked", &types.AttributeValueMemberL{Value: list})
	got, err := f.Store.Acquire(t.Context(), tonight, "first", storetest.Now, until)
	wantErr(t, f, err, nil)
	wantEqual(t, "debts", got.Unmarked, []sweep.Debt{good})
}
