package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"kafkarium/tests/clients/contract"

	"github.com/IBM/sarama"
)

// How long a member reads before it commits.
const commitEvery = 20 * time.Millisecond

// A member is the handler of a consumer group: the library calls it, in a goroutine for each partition.
type member struct {
	seat  *contract.Seat
	topic string
	// What the coordinator says.
	committed func() (map[int32]int64, error)
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	m.seat.Assigned(session.Claims()[m.topic])
	return nil
}

func (m *member) Cleanup(session sarama.ConsumerGroupSession) error {
	m.seat.Revoked(session.Claims()[m.topic])
	return nil
}

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	ticks := time.NewTicker(commitEvery)
	defer ticks.Stop()
	following := int64(-1)
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				m.commit(session, claim.Partition(), following)
				return nil
			}
			m.seat.Take(record(message))
			following = message.Offset + 1
		case <-ticks.C:
			m.commit(session, claim.Partition(), following)
			following = -1
		case <-session.Context().Done():
			m.commit(session, claim.Partition(), following)
			return nil
		}
	}
}

// commit commits a place and asks what is committed then: the library says nothing of a commit that a coordinator did not take because it
// was none any more, and tries it again with the next one.
func (m *member) commit(session sarama.ConsumerGroupSession, partition int32, following int64) {
	if following < 0 {
		return
	}
	session.MarkOffset(m.topic, partition, following, "")
	session.Commit()
	offsets, err := m.committed()
	offset, has := offsets[partition]
	if !has && err == nil {
		return
	}
	m.seat.Committed(map[int32]int64{partition: offset}, err)
}

func (c *cases) join(seat *contract.Seat, group, topic, instance, strategy string) (func() error, error) {
	config := configured()
	config.Consumer.Group.Session.Timeout = 10 * time.Second
	config.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	config.Consumer.Group.InstanceId = instance
	config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyRange()}
	if strategy == "sticky" {
		config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategySticky()}
	}
	consumers, err := sarama.NewConsumerGroup(contract.Bootstrap, group, config)
	if err != nil {
		return nil, err
	}
	m := &member{seat: seat, topic: topic, committed: func() (map[int32]int64, error) { return c.committed(group, topic) }}
	go func() {
		for err := range consumers.Errors() {
			log.Printf("%s: %v", seat.Name, err)
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if err := consumers.Consume(ctx, []string{topic}, m); err != nil && ctx.Err() == nil && contract.FireSeconds == 0 {
				ended <- fmt.Errorf("consume: %w", err)
				return
			}
		}
		ended <- nil
	}()
	return func() error {
		cancel()
		err := <-ended
		// Whoever leaves has nothing any more before its successor is told that it has it.
		seat.Gone()
		consumers.Close()
		return err
	}, nil
}

func (c *cases) kit() *contract.Kit {
	return &contract.Kit{
		Create:     c.create,
		Produce:    func(topic string) (int64, error) { return produce(topic, idempotent) },
		Join:       c.join,
		Strategies: []string{"eager", "sticky"},
		Static:     true,
		Committed:  c.committed,
	}
}

func (c *cases) committed(group, topic string) (map[int32]int64, error) {
	told, err := c.admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0, 1, 2}})
	if err != nil {
		return nil, err
	}
	found := map[int32]int64{}
	for partition, block := range told.Blocks[topic] {
		if block.Err == sarama.ErrNoError && block.Offset >= 0 {
			found[partition] = block.Offset
		}
	}
	return found, nil
}
