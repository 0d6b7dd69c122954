package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"kafkarium/tests/clients/contract"

	"github.com/segmentio/kafka-go"
)

// How long a member reads before it commits.
const commitEvery = 20 * time.Millisecond

// join makes a member of a group. In each generation it reads its partitions side by side and commits each for itself.
func join(seat *contract.Seat, group, topic, _, strategy string) (func() error, error) {
	balancer := kafka.GroupBalancer(kafka.RangeGroupBalancer{})
	if strategy == "round-robin" {
		balancer = kafka.RoundRobinGroupBalancer{}
	}
	consumers, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: group, Brokers: contract.Bootstrap, Topics: []string{topic}, StartOffset: kafka.FirstOffset,
		GroupBalancers: []kafka.GroupBalancer{balancer}, HeartbeatInterval: 500 * time.Millisecond,
		SessionTimeout: 10 * time.Second, RebalanceTimeout: 10 * time.Second, JoinGroupBackoff: 200 * time.Millisecond,
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- generations(ctx, consumers, seat, topic) }()
	return func() error {
		cancel()
		err := <-ended
		closed := consumers.Close()
		if contract.FireSeconds > 0 {
			closed = nil
		}
		return errors.Join(err, closed)
	}, nil
}

func generations(ctx context.Context, consumers *kafka.ConsumerGroup, seat *contract.Seat, topic string) error {
	for {
		generation, err := consumers.Next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if contract.FireSeconds == 0 && !errors.Is(err, kafka.RebalanceInProgress) {
				return fmt.Errorf("next generation: %w", err)
			}
			log.Printf("%s: no generation: %v", seat.Name, err)
			continue
		}
		var partitions []int32
		for _, one := range generation.Assignments[topic] {
			partitions = append(partitions, int32(one.ID))
		}
		seat.Assigned(partitions)
		ended := make(chan error, len(partitions))
		for _, one := range generation.Assignments[topic] {
			generation.Start(func(inside context.Context) {
				both, stop := context.WithCancel(inside)
				defer stop()
				defer context.AfterFunc(ctx, stop)()
				err := consume(both, generation, seat, topic, one)
				seat.Revoked([]int32{int32(one.ID)})
				ended <- err
			})
		}
		for range partitions {
			if err := <-ended; err != nil {
				return err
			}
		}
	}
}

func consume(ctx context.Context, generation *kafka.Generation, seat *contract.Seat, topic string, one kafka.PartitionAssignment) error {
	reader, err := newReader(topic, one.ID, one.Offset)
	if err != nil {
		return err
	}
	defer reader.Close()
	following, commitAt := int64(-1), time.Now()
	commit := func() {
		if following < 0 {
			return
		}
		err := generation.CommitOffsets(map[string]map[int]int64{topic: {one.ID: following}})
		seat.Committed(map[int32]int64{int32(one.ID): following}, err)
		following, commitAt = -1, time.Now().Add(commitEvery)
	}
	defer commit()
	for {
		briefly, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		message, err := reader.FetchMessage(briefly)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, context.DeadlineExceeded):
			commit()
		case err != nil:
			if contract.FireSeconds == 0 {
				return fmt.Errorf("fetch: %w", err)
			}
			log.Printf("%s: %v", seat.Name, err)
		default:
			seat.Take(record(message))
			following = message.Offset + 1
			if time.Now().After(commitAt) {
				commit()
			}
		}
	}
}

func (c *cases) kit(ctx context.Context) *contract.Kit {
	return &contract.Kit{
		Create:     func(name string) (string, error) { return c.create(ctx, name) },
		Produce:    func(topic string) (int64, error) { return written(ctx, topic) },
		Join:       join,
		Strategies: []string{"eager", "round-robin"},
		Committed: func(group, topic string) (map[int32]int64, error) {
			told, err := c.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: {0, 1, 2}}})
			if err != nil {
				return nil, err
			}
			if told.Error != nil {
				return nil, told.Error
			}
			found := map[int32]int64{}
			for _, one := range told.Topics[topic] {
				if one.Error == nil && one.CommittedOffset >= 0 {
					found[int32(one.Partition)] = one.CommittedOffset
				}
			}
			return found, nil
		},
	}
}
