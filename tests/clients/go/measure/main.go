// Measures a cluster from outside: transactions a second, commits of offsets a second, and how long a large group takes to settle.
// Each measure is a line of JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	bootstrap   = flag.String("bootstrap", "", "seed brokers, separated by commas")
	label       = flag.String("sys", "unnamed", "what the cluster is called in the lines")
	seconds     = flag.Float64("seconds", 5, "how long transactions and commits are counted")
	writers     = flag.Int("writers", 16, "producers of transactions, or committing clients, side by side")
	members     = flag.Int("members", 100, "members of the large group")
	partitions  = flag.Int("partitions", 600, "partitions that they share")
	replication = flag.Int("replication", 3, "replicas of each partition")
)

const (
	dataPartitions = 12
	commitWidth    = 10
	patience       = 2 * time.Minute
)

func main() {
	flag.Parse()
	measures := map[string]func(context.Context, *kadm.Client) (map[string]any, error){
		"transactions": transactions, "commits": commits, "group": group,
	}
	ctx := context.Background()
	client, err := newClient()
	exitOn(err)
	defer client.Close()
	for _, name := range flag.Args() {
		measure := measures[name]
		if measure == nil {
			exitOn(fmt.Errorf("no such measure: %s (transactions, commits, group)", name))
		}
		line, err := measure(ctx, kadm.NewClient(client))
		exitOn(err)
		line["sys"], line["measure"] = *label, name
		told, err := json.Marshal(line)
		exitOn(err)
		fmt.Println(string(told))
	}
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
}

func newClient(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(strings.Split(*bootstrap, ",")...), kgo.MetadataMinAge(100 * time.Millisecond),
	}, options...)...)
}

// topic makes a topic of its own for each run and waits until it has leaders.
func topic(ctx context.Context, admin *kadm.Client, name string, partitions int) (string, error) {
	topic := fmt.Sprintf("%s-%d", name, time.Now().UnixNano())
	if _, err := admin.CreateTopic(ctx, int32(partitions), int16(*replication), nil, topic); err != nil {
		return topic, err
	}
	return topic, until("the topic has leaders", func() bool {
		details, err := admin.ListTopics(ctx, topic)
		if err != nil || len(details[topic].Partitions) != partitions {
			return false
		}
		for _, partition := range details[topic].Partitions {
			if partition.Leader < 0 {
				return false
			}
		}
		return true
	})
}

func until(what string, holds func() bool) error {
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %v: %s", patience, what)
		}
	}
	return nil
}

// counted has every writer do a thing again and again: first once each, which is not counted, then for so many seconds. It gives how
// often it was done a second, and how long it took.
func counted(ctx context.Context, once func(ctx context.Context, writer int) error) (map[string]any, error) {
	var done atomic.Int64
	var lock sync.Mutex
	var took []time.Duration
	var wrong error
	var warm, all sync.WaitGroup
	begin := make(chan struct{})
	var deadline time.Time
	for writer := range *writers {
		warm.Add(1)
		all.Go(func() {
			err := once(ctx, writer)
			warm.Done()
			<-begin
			var mine []time.Duration
			for err == nil && time.Now().Before(deadline) {
				begun := time.Now()
				if err = once(ctx, writer); err == nil {
					mine = append(mine, time.Since(begun))
					done.Add(1)
				}
			}
			lock.Lock()
			defer lock.Unlock()
			took = append(took, mine...)
			wrong = errors.Join(wrong, err)
		})
	}
	warm.Wait()
	begun := time.Now()
	deadline = begun.Add(time.Duration(*seconds * float64(time.Second)))
	close(begin)
	all.Wait()
	if wrong != nil {
		return nil, wrong
	}
	slices.Sort(took)
	at := func(share float64) float64 {
		return float64(took[int(share*float64(len(took)-1))].Microseconds()) / 1000
	}
	return map[string]any{
		"per_second": float64(done.Load()) / time.Since(begun).Seconds(), "writers": *writers, "p50_ms": at(0.5), "p99_ms": at(0.99),
	}, nil
}

// transactions: each writes a record to each of two partitions, acks=all, and commits.
func transactions(ctx context.Context, admin *kadm.Client) (map[string]any, error) {
	topic, err := topic(ctx, admin, "transactions", dataPartitions)
	if err != nil {
		return nil, err
	}
	clients := make([]*kgo.Client, *writers)
	for writer := range clients {
		clients[writer], err = newClient(
			kgo.TransactionalID(fmt.Sprintf("%s-%d", topic, writer)), kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.ProducerLinger(0), kgo.DefaultProduceTopic(topic),
		)
		if err != nil {
			return nil, err
		}
		defer clients[writer].Close()
	}
	value := make([]byte, 100)
	return counted(ctx, func(ctx context.Context, writer int) error {
		client := clients[writer]
		if err := client.BeginTransaction(); err != nil {
			return err
		}
		one, other := int32(writer%dataPartitions), int32((writer+1)%dataPartitions)
		records := []*kgo.Record{{Partition: one, Value: value}, {Partition: other, Value: value}}
		if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
			return err
		}
		return client.EndTransaction(ctx, kgo.TryCommit)
	})
}

// commits: each client commits ten partitions of a group of its own, one request after the other.
func commits(ctx context.Context, admin *kadm.Client) (map[string]any, error) {
	topic, err := topic(ctx, admin, "commits", commitWidth)
	if err != nil {
		return nil, err
	}
	admins := make([]*kadm.Client, *writers)
	for writer := range admins {
		client, err := newClient()
		if err != nil {
			return nil, err
		}
		defer client.Close()
		admins[writer] = kadm.NewClient(client)
	}
	var offset atomic.Int64
	commit := func(ctx context.Context, writer int) error {
		offsets := kadm.Offsets{}
		at := offset.Add(1)
		for partition := range int32(commitWidth) {
			offsets.AddOffset(topic, partition, at, -1)
		}
		told, err := admins[writer].CommitOffsets(ctx, fmt.Sprintf("%s-%d", topic, writer), offsets)
		return errors.Join(err, told.Error())
	}
	// The very first one may find the topic of offsets being made.
	if err := until("offsets can be committed", func() bool { return commit(ctx, 0) == nil }); err != nil {
		return nil, err
	}
	retried := func(ctx context.Context, writer int) error {
		for deadline := time.Now().Add(patience); ; {
			err := commit(ctx, writer)
			if !kerr.IsRetriable(err) || time.Now().After(deadline) {
				return err
			}
		}
	}
	return counted(ctx, retried)
}

// group: how long it takes from the moment when the last member sets out until each has its share, of all partitions.
func group(ctx context.Context, admin *kadm.Client) (map[string]any, error) {
	topic, err := topic(ctx, admin, "group", *partitions)
	if err != nil {
		return nil, err
	}
	var lock sync.Mutex
	owned := make([]int, *members)
	total := 0
	change := func(member, by int) {
		lock.Lock()
		defer lock.Unlock()
		owned[member] += by
		total += by
	}
	count := func(topics map[string][]int32) (n int) {
		for _, partitions := range topics {
			n += len(partitions)
		}
		return n
	}
	begun := time.Now()
	clients := make([]*kgo.Client, *members)
	for member := range clients {
		lost := func(_ context.Context, _ *kgo.Client, topics map[string][]int32) { change(member, -count(topics)) }
		clients[member], err = newClient(
			kgo.ConsumerGroup(topic), kgo.ConsumeTopics(topic), kgo.Balancers(kgo.CooperativeStickyBalancer()),
			kgo.HeartbeatInterval(300*time.Millisecond), kgo.DisableAutoCommit(),
			kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, topics map[string][]int32) { change(member, count(topics)) }),
			kgo.OnPartitionsRevoked(lost), kgo.OnPartitionsLost(lost),
		)
		if err != nil {
			return nil, err
		}
	}
	err = until("each member has its share", func() bool {
		lock.Lock()
		defer lock.Unlock()
		return total == *partitions && slices.Min(owned) > 0 && slices.Max(owned)-slices.Min(owned) <= 1
	})
	took := time.Since(begun)
	var leaving sync.WaitGroup
	for _, client := range clients {
		leaving.Go(client.Close)
	}
	leaving.Wait()
	return map[string]any{"settled_ms": took.Milliseconds(), "members": *members, "partitions": *partitions}, err
}
