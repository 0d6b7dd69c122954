package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"time"

	"kafkarium/tests/clients/contract"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const patience = 2 * time.Minute

func (c *cases) transactions(ctx context.Context) {
	c.Run("transactions.copy", func() error { return c.copy(ctx) })
	if contract.FireSeconds == 0 {
		c.Run("transactions.abort", func() error { return c.abort(ctx) })
		c.Run("transactions.fenced", func() error { return c.fenced(ctx) })
	}
}

func transactor(name string, options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(contract.Bootstrap...),
		kgo.MetadataMinAge(metadataMinAge),
		kgo.TransactionalID(name),
		kgo.TransactionTimeout(20 * time.Second),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	}, options...)...)
}

// read gives the values of a topic by partition, once there are so many, and what comes at once after them.
func read(ctx context.Context, topic string, enough int, isolation kgo.IsolationLevel) (map[int32][]string, error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(contract.Bootstrap...), kgo.ConsumeTopics(topic), kgo.MetadataMinAge(metadataMinAge),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(isolation),
	)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	found := map[int32][]string{}
	count := 0
	for deadline := time.Now().Add(patience); ; {
		records, err := poll(ctx, client, 0)
		if err != nil {
			return nil, err
		}
		for _, record := range records {
			found[record.Partition] = append(found[record.Partition], record.Value)
		}
		count += len(records)
		if count >= enough && len(records) == 0 {
			return found, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%d of %d records of %s", count, enough, topic)
		}
	}
}

func isRead(ctx context.Context, topic string, isolation kgo.IsolationLevel, expected map[int32][]string) error {
	enough := 0
	for _, values := range expected {
		enough += len(values)
	}
	found, err := read(ctx, topic, enough, isolation)
	if err != nil {
		return err
	}
	for partition := range int32(contract.Partitions) {
		if !slices.Equal(expected[partition], found[partition]) {
			return contract.Equal(fmt.Sprintf("the values of partition %d", partition), brief(expected[partition]), brief(found[partition]))
		}
	}
	return nil
}

func brief(values []string) string {
	return fmt.Sprintf("%d of them: %.200v", len(values), values)
}

// abort: of four transactions two are given up.
func (c *cases) abort(ctx context.Context) error {
	topic, err := c.create(ctx, "aborted")
	if err != nil {
		return err
	}
	client, err := transactor(contract.Topic("aborter"))
	if err != nil {
		return err
	}
	defer client.Close()
	for _, value := range []string{"a", "b", "c", "d"} {
		if err := client.BeginTransaction(); err != nil {
			return err
		}
		if err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr(); err != nil {
			return err
		}
		if err := client.EndTransaction(ctx, kgo.TransactionEndTry(value == "a" || value == "c")); err != nil {
			return err
		}
	}
	if err := isRead(ctx, topic, kgo.ReadCommitted(), map[int32][]string{0: {"a", "c"}}); err != nil {
		return err
	}
	return isRead(ctx, topic, kgo.ReadUncommitted(), map[int32][]string{0: {"a", "b", "c", "d"}})
}

// fenced: a producer that was replaced by another of its name cannot commit.
func (c *cases) fenced(ctx context.Context) error {
	topic, err := c.create(ctx, "fenced")
	if err != nil {
		return err
	}
	var clients [2]*kgo.Client
	for i, value := range []string{"zombie", "next"} {
		if clients[i], err = transactor(contract.Topic("fenced")); err != nil {
			return err
		}
		defer clients[i].Close()
		if err := clients[i].BeginTransaction(); err != nil {
			return err
		}
		if err := clients[i].ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: 1, Value: []byte(value)}).FirstErr(); err != nil {
			return err
		}
	}
	err = clients[0].EndTransaction(ctx, kgo.TryCommit)
	if !errors.Is(err, kerr.ProducerFenced) && !errors.Is(err, kerr.InvalidProducerEpoch) {
		return fmt.Errorf("a producer that was replaced has committed: %v", err)
	}
	if err := clients[1].EndTransaction(ctx, kgo.TryCommit); err != nil {
		return err
	}
	return isRead(ctx, topic, kgo.ReadCommitted(), map[int32][]string{1: {"next"}})
}

// copy copies every record of a topic and its own place in it, in transactions of a member of a group.
func (c *cases) copy(ctx context.Context) error {
	from, count, err := c.filled(ctx, "copied-from")
	if err != nil {
		return err
	}
	to, err := c.create(ctx, "copied-to")
	if err != nil {
		return err
	}
	expected := map[int32][]string{}
	for i := range count {
		partition := int32(i % contract.Partitions)
		expected[partition] = append(expected[partition], contract.Value(from, i))
	}
	kit := c.kit(ctx)
	goal := fmt.Sprint(map[int32]int64{0: contract.End(count, 0), 1: contract.End(count, 1), 2: contract.End(count, 2)})
	deadline := time.Now().Add(patience)
	for committed := ""; committed != goal; {
		if err := copyOn(ctx, kit, from, to, goal, deadline); err != nil {
			if contract.FireSeconds == 0 || time.Now().After(deadline) {
				return err
			}
			// What a program does that does not want to tell errors apart: another producer ends what is open.
			log.Printf("copy: again after %v", err)
		}
		places, err := kit.Committed(contract.Topic("copier"), from)
		if err != nil && contract.FireSeconds == 0 {
			return err
		}
		committed = fmt.Sprint(places)
	}
	return isRead(ctx, to, kgo.ReadCommitted(), expected)
}

// copyOn copies until all is copied or something fails; each fifth transaction is given up on purpose.
func copyOn(ctx context.Context, kit *contract.Kit, from, to, goal string, deadline time.Time) error {
	name := contract.Topic("copier")
	session, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(contract.Bootstrap...), kgo.MetadataMinAge(metadataMinAge), kgo.TransactionalID(name),
		kgo.TransactionTimeout(20*time.Second), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ConsumerGroup(name),
		kgo.ConsumeTopics(from), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.SessionTimeout(10*time.Second), kgo.HeartbeatInterval(500*time.Millisecond), kgo.RequireStableFetchOffsets(),
	)
	if err != nil {
		return err
	}
	defer session.Close()
	for turn := 1; ; turn++ {
		if time.Now().After(deadline) {
			return errors.New("it takes too long")
		}
		records, err := poll(ctx, session.Client(), int(contract.Records/3))
		if err != nil {
			return err
		}
		if len(records) == 0 {
			places, err := kit.Committed(name, from)
			if err == nil && fmt.Sprint(places) == goal {
				return nil
			}
			continue
		}
		if err := session.Begin(); err != nil {
			return err
		}
		var copies []*kgo.Record
		for _, record := range records {
			copies = append(copies, &kgo.Record{Topic: to, Partition: record.Partition, Value: []byte(record.Value)})
		}
		wanted := kgo.TransactionEndTry(turn%5 != 0)
		if err := session.ProduceSync(ctx, copies...).FirstErr(); err != nil {
			log.Printf("copy: given up after %v", err)
			wanted = kgo.TryAbort
		}
		if _, err := session.End(ctx, wanted); err != nil {
			return err
		}
	}
}
