package contract

import (
	"fmt"
	"log"
	"maps"
	"slices"
	"sync"
	"time"
)

// A Kit is a client as the cases of groups need it.
type Kit struct {
	Create    func(name string) (string, error)
	Produce   func(topic string) (int64, error)
	Committed func(group, topic string) (map[int32]int64, error)
	// Join makes a member and runs it until it is stopped. It tells the member's seat what it owns and reads.
	Join func(seat *Seat, group, topic, instance, strategy string) (stop func() error, err error)
	// Strategies are ways to assign partitions that the client has.
	Strategies []string
	// Static is whether the client knows static members.
	Static bool
}

type place struct{ floor, following int64 }

// A ledger knows what the members of a group own, have read and know to be committed. A member that gets a partition goes on no
// sooner than what was known to be committed by then, and then record by record.
type ledger struct {
	sync.Mutex
	topic       string
	reads       map[int32]map[int64]int
	committed   map[int32]int64
	owned       map[string]map[int32]*place
	assignments map[string]int
	wrong       error
}

// A Seat is a member's place in its group.
type Seat struct {
	Name   string
	ledger *ledger
}

func (l *ledger) fail(err error) {
	if l.wrong == nil && err != nil {
		l.wrong = err
	}
}

// Assigned says which partitions the member has got.
func (s *Seat) Assigned(partitions []int32) {
	l := s.ledger
	l.Lock()
	defer l.Unlock()
	l.assignments[s.Name]++
	for _, partition := range partitions {
		for other, places := range l.owned {
			// One that was cut off may not know yet that it has lost it.
			if _, has := places[partition]; has && other != s.Name && FireSeconds == 0 {
				l.fail(fmt.Errorf("%s still owns %d, which %s gets", other, partition, s.Name))
			}
		}
		if l.owned[s.Name] == nil {
			l.owned[s.Name] = map[int32]*place{}
		}
		l.owned[s.Name][partition] = &place{l.committed[partition], -1}
	}
}

// Revoked says which partitions the member has no more.
func (s *Seat) Revoked(partitions []int32) {
	s.ledger.Lock()
	defer s.ledger.Unlock()
	for _, partition := range partitions {
		delete(s.ledger.owned[s.Name], partition)
	}
}

// Take says what the member has read.
func (s *Seat) Take(record Record) {
	l := s.ledger
	l.Lock()
	defer l.Unlock()
	l.fail(Check(l.topic, record))
	if l.reads[record.Partition] == nil {
		l.reads[record.Partition] = map[int64]int{}
	}
	l.reads[record.Partition][record.Offset]++
	place := l.owned[s.Name][record.Partition]
	if place == nil {
		return
	}
	if place.following >= 0 {
		l.fail(Equal(fmt.Sprintf("what %s reads next of %d", s.Name, record.Partition), place.following, record.Offset))
	}
	if record.Offset < place.floor {
		l.fail(fmt.Errorf("%s reads %d of %d again, %d was committed", s.Name, record.Offset, record.Partition, place.floor))
	}
	place.following = record.Offset + 1
}

// Positions is what the member has to commit, if it has read anything.
func (s *Seat) Positions() map[int32]int64 {
	s.ledger.Lock()
	defer s.ledger.Unlock()
	found := map[int32]int64{}
	for partition, place := range s.ledger.owned[s.Name] {
		if place.following >= 0 {
			found[partition] = place.following
		}
	}
	return found
}

// Committed says that the coordinator has acknowledged these offsets, or has not: then nobody may rely on them.
func (s *Seat) Committed(offsets map[int32]int64, err error) {
	if err != nil {
		log.Printf("%s has not committed: %v", s.Name, err)
		return
	}
	s.ledger.Lock()
	defer s.ledger.Unlock()
	for partition, offset := range offsets {
		s.ledger.committed[partition] = max(offset, s.ledger.committed[partition])
	}
}

// Gone says that the member has nothing any more, before it leaves.
func (s *Seat) Gone() {
	s.ledger.Lock()
	defer s.ledger.Unlock()
	delete(s.ledger.owned, s.Name)
}

func (l *ledger) owners() map[string][]int32 {
	l.Lock()
	defer l.Unlock()
	found := map[string][]int32{}
	for member, places := range l.owned {
		found[member] = slices.Sorted(maps.Keys(places))
	}
	return found
}

// split says whether exactly these own every partition, each at least one.
func (l *ledger) split(members ...string) bool {
	owners := l.owners()
	var all []int32
	for _, member := range members {
		if len(owners[member]) == 0 {
			return false
		}
		all = append(all, owners[member]...)
	}
	slices.Sort(all)
	return slices.Equal(all, []int32{0, 1, 2})
}

func (l *ledger) read() (records int64, repeated int) {
	l.Lock()
	defer l.Unlock()
	for _, offsets := range l.reads {
		records += int64(len(offsets))
		for _, times := range offsets {
			if times > 1 {
				repeated++
			}
		}
	}
	return records, repeated
}

type group struct {
	kit                   *Kit
	name, topic, strategy string
	ledger                *ledger
	members               map[string]func() error
}

// inGroup runs a case; whoever is left in the group is stopped at its end.
func inGroup(kit *Kit, name, strategy string, body func(*group) error) error {
	topic, err := kit.Create(name)
	if err != nil {
		return err
	}
	l := &ledger{
		topic: topic, reads: map[int32]map[int64]int{}, committed: map[int32]int64{}, owned: map[string]map[int32]*place{},
		assignments: map[string]int{},
	}
	g := &group{kit: kit, name: Topic(name), topic: topic, strategy: strategy, ledger: l, members: map[string]func() error{}}
	err = body(g)
	for member := range maps.Clone(g.members) {
		if left := g.leave(member); err == nil {
			err = left
		}
	}
	if err == nil {
		err = l.wrong
	}
	return err
}

func (g *group) join(name, instance string) error {
	stop, err := g.kit.Join(&Seat{name, g.ledger}, g.name, g.topic, instance, g.strategy)
	if err != nil {
		return fmt.Errorf("%s joins: %w", name, err)
	}
	g.members[name] = stop
	return nil
}

func (g *group) leave(name string) error {
	stop := g.members[name]
	delete(g.members, name)
	if err := stop(); err != nil {
		return fmt.Errorf("%s leaves: %w", name, err)
	}
	return nil
}

func (g *group) until(what string, holds func() bool) error {
	deadline := time.Now().Add(2 * patience)
	for !holds() {
		g.ledger.Lock()
		wrong := g.ledger.wrong
		g.ledger.Unlock()
		if wrong != nil {
			return wrong
		}
		if time.Now().After(deadline) {
			read, _ := g.ledger.read()
			return fmt.Errorf("not within %v: %s; %d read, owners %v", 2*patience, what, read, g.ledger.owners())
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

func (g *group) untilSplit(members ...string) error {
	return g.until(fmt.Sprintf("the partitions are split among %v", members), func() bool { return g.ledger.split(members...) })
}

func (g *group) untilRead(count int64) error {
	return g.until(fmt.Sprintf("all of %d records are read", count), func() bool {
		read, _ := g.ledger.read()
		return read == count
	})
}

func (g *group) checkCommitted(count int64) error {
	return Eventually("all is committed", func() (bool, error) {
		found, err := g.kit.Committed(g.name, g.topic)
		return err == nil && maps.Equal(found, map[int32]int64{0: End(count, 0), 1: End(count, 1), 2: End(count, 2)}), err
	})
}

// all runs steps until one fails.
func all(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// join: a member reads some and leaves; the next one goes on where it was, and the third one has nothing to do.
func join(g *group) error {
	count, err := g.kit.Produce(g.topic)
	if err != nil {
		return err
	}
	return all(
		func() error { return g.join("first", "") },
		func() error {
			return g.until("a third is read", func() bool { read, _ := g.ledger.read(); return read >= count/3 })
		},
		func() error { return g.leave("first") },
		func() error { return g.join("second", "") },
		func() error { return g.untilRead(count) },
		func() error { return g.leave("second") },
		func() error { return g.checkCommitted(count) },
		func() error { return g.join("third", "") },
		func() error { return g.untilSplit("third") },
		func() error { return g.leave("third") },
		func() error { _, repeated := g.ledger.read(); return Equal("how many were read twice", 0, repeated) },
	)
}

type written struct {
	count int64
	err   error
}

func (g *group) write() <-chan written {
	done := make(chan written, 1)
	go func() {
		count, err := g.kit.Produce(g.topic)
		done <- written{count, err}
	}()
	return done
}

// rebalance: three members come and one leaves, while records are written: each partition has one owner, and nothing is left out.
func rebalance(g *group) error {
	var writing <-chan written
	var count int64
	return all(
		func() error { return g.join("first", "") },
		func() error { return g.untilSplit("first") },
		func() error { writing = g.write(); return g.join("second", "") },
		func() error { return g.untilSplit("first", "second") },
		func() error { return g.join("third", "") },
		func() error { return g.untilSplit("first", "second", "third") },
		func() error { return g.leave("first") },
		func() error { return g.untilSplit("second", "third") },
		func() error { done := <-writing; count = done.count; return done.err },
		func() error { return g.untilRead(count) },
		func() error { return g.checkCommitted(count) },
	)
}

// static: a member that comes back within its session has its partitions again, and the other one notices nothing.
func static(g *group) error {
	var count int64
	var before string
	var assignments int
	return all(
		func() error { return g.join("first", "instance-1") },
		func() error { return g.join("second", "instance-2") },
		func() error { return g.untilSplit("first", "second") },
		func() (err error) { count, err = g.kit.Produce(g.topic); return err },
		func() error { return g.untilRead(count) },
		func() error {
			before, assignments = fmt.Sprint(g.ledger.owners()), g.ledger.assignments["first"]
			return g.leave("second")
		},
		func() error { return g.join("second", "instance-2") },
		func() error { return g.untilSplit("first", "second") },
		func() error { return Equal("who owns what", before, fmt.Sprint(g.ledger.owners())) },
		func() error {
			return Equal("how often the other one was assigned partitions", assignments, g.ledger.assignments["first"])
		},
		func() error { _, repeated := g.ledger.read(); return Equal("how many were read twice", 0, repeated) },
		func() error { return g.checkCommitted(count) },
	)
}

// comeAndGo: members come and go while brokers die and records are written.
func comeAndGo(g *group) error {
	writing := g.write()
	if err := g.join("member-0", ""); err != nil {
		return err
	}
	for joined := 0; ; joined++ {
		if err := g.join(fmt.Sprintf("member-%d", joined+1), ""); err != nil {
			return err
		}
		var done *written
		select {
		case finished := <-writing:
			done = &finished
		case <-time.After(3 * time.Second):
		}
		if err := g.leave(fmt.Sprintf("member-%d", joined)); err != nil {
			return err
		}
		if done == nil {
			continue
		}
		if done.err != nil {
			return done.err
		}
		if err := g.untilRead(done.count); err != nil {
			return err
		}
		_, repeated := g.ledger.read()
		log.Printf("%d records, %d of them read again", done.count, repeated)
		return g.checkCommitted(done.count)
	}
}

// Groups runs the cases of groups.
func (r *Report) Groups(kit *Kit) {
	for _, strategy := range kit.Strategies {
		body := rebalance
		if FireSeconds > 0 {
			body = comeAndGo
		}
		r.Run("group."+strategy, func() error { return inGroup(kit, "group-"+strategy, strategy, body) })
	}
	if FireSeconds == 0 {
		r.Run("group.join", func() error { return inGroup(kit, "group-join", kit.Strategies[0], join) })
		if kit.Static {
			r.Run("group.static", func() error { return inGroup(kit, "group-static", kit.Strategies[0], static) })
		}
	}
}
