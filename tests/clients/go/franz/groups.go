package main

import (
	"context"
	"time"

	"kafkarium/tests/clients/contract"

	"github.com/twmb/franz-go/pkg/kgo"
)

// How long a member reads before it commits.
const commitEvery = 20 * time.Millisecond

func numbers(topics map[string][]int32) []int32 {
	var all []int32
	for _, partitions := range topics {
		all = append(all, partitions...)
	}
	return all
}

// member makes a member of a group, which reads and commits until it is stopped.
func member(seat *contract.Seat, group, topic, instance, strategy string) (func() error, error) {
	balancer := kgo.GroupBalancer(kgo.RangeBalancer())
	if strategy == "cooperative" {
		balancer = kgo.CooperativeStickyBalancer()
	}
	lost := func(_ context.Context, _ *kgo.Client, topics map[string][]int32) { seat.Revoked(numbers(topics)) }
	options := []kgo.Opt{
		kgo.SeedBrokers(contract.Bootstrap...),
		kgo.MetadataMinAge(metadataMinAge),
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
		kgo.Balancers(balancer),
		kgo.SessionTimeout(10 * time.Second),
		kgo.HeartbeatInterval(500 * time.Millisecond),
		// No rebalance between what is polled and what is taken.
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, topics map[string][]int32) { seat.Assigned(numbers(topics)) }),
		kgo.OnPartitionsRevoked(lost),
		kgo.OnPartitionsLost(lost),
	}
	if instance != "" {
		options = append(options, kgo.InstanceID(instance))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		var err error
		for err == nil && ctx.Err() == nil {
			err = turn(ctx, client, seat, topic)
		}
		ended <- err
	}()
	return func() error {
		cancel()
		err := <-ended
		commit(client, seat, topic)
		// Whoever leaves has nothing any more before its successor is told that it has it.
		seat.Gone()
		client.CloseAllowingRebalance()
		return err
	}, nil
}

// turn reads for a while and commits.
func turn(ctx context.Context, client *kgo.Client, seat *contract.Seat, topic string) error {
	defer client.AllowRebalance()
	for begun := time.Now(); time.Since(begun) < commitEvery; {
		found, err := poll(ctx, client, 50)
		if err != nil {
			return err
		}
		for _, record := range found {
			seat.Take(record)
		}
	}
	commit(client, seat, topic)
	return nil
}

func commit(client *kgo.Client, seat *contract.Seat, topic string) {
	positions := seat.Positions()
	if len(positions) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	seat.Committed(positions, client.CommitRecords(ctx, lasts(topic, positions)...))
}

// lasts are the records whose commit is that of these positions.
func lasts(topic string, positions map[int32]int64) []*kgo.Record {
	var records []*kgo.Record
	for partition, offset := range positions {
		records = append(records, &kgo.Record{Topic: topic, Partition: partition, Offset: offset - 1, LeaderEpoch: -1})
	}
	return records
}

func (c *cases) kit(ctx context.Context) *contract.Kit {
	return &contract.Kit{
		Create:     func(name string) (string, error) { return c.create(ctx, name) },
		Produce:    func(topic string) (int64, error) { return produce(ctx, topic) },
		Join:       member,
		Strategies: []string{"eager", "cooperative"},
		Static:     true,
		Committed: func(group, topic string) (map[int32]int64, error) {
			fetched, err := c.admin.FetchOffsets(ctx, group)
			found := map[int32]int64{}
			for partition, offset := range fetched[topic] {
				found[partition] = offset.At
			}
			return found, err
		},
	}
}
