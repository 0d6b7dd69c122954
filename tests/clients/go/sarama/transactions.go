package main

import (
	"fmt"
	"log"
	"slices"
	"time"

	"kafkarium/tests/clients/contract"

	"github.com/IBM/sarama"
)

const patience = 2 * time.Minute

func (c *cases) transactions() {
	c.Run("transactions.copy", c.copy)
	if contract.FireSeconds == 0 {
		c.Run("transactions.abort", c.abort)
		c.Run("transactions.fenced", c.fenced)
	}
}

func transactor(name string) (sarama.SyncProducer, error) {
	config := configured()
	idempotent(config)
	config.Producer.Transaction.ID = name
	config.Producer.Transaction.Timeout = 20 * time.Second
	config.Producer.Transaction.Retry.Max = 100
	config.Producer.Transaction.Retry.Backoff = 100 * time.Millisecond
	return sarama.NewSyncProducer(contract.Bootstrap, config)
}

// isRead compares what a topic holds with what it has to.
func isRead(topic string, isolation sarama.IsolationLevel, expected map[int32][]string) error {
	reader, err := newReader(topic, contract.All(), isolation)
	if err != nil {
		return err
	}
	defer reader.close()
	enough, count := 0, 0
	for _, values := range expected {
		enough += len(values)
	}
	found := map[int32][]string{}
	for deadline := time.Now().Add(patience); ; {
		records, err := reader.poll()
		if err != nil {
			return err
		}
		for _, record := range records {
			found[record.Partition] = append(found[record.Partition], record.Value)
		}
		count += len(records)
		// What was aborted after the last one would be next.
		if count >= enough && len(records) == 0 {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d records of %s", count, enough, topic)
		}
	}
	for partition := range int32(contract.Partitions) {
		if !slices.Equal(expected[partition], found[partition]) {
			return fmt.Errorf("partition %d has %d values, not %d, or others: %.300v", partition, len(found[partition]),
				len(expected[partition]), found[partition])
		}
	}
	return nil
}

// abort: of four transactions two are given up.
func (c *cases) abort() error {
	topic, err := c.create("aborted")
	if err != nil {
		return err
	}
	producer, err := transactor(contract.Topic("aborter"))
	if err != nil {
		return err
	}
	defer producer.Close()
	for _, value := range []string{"a", "b", "c", "d"} {
		if err := producer.BeginTxn(); err != nil {
			return err
		}
		if _, _, err := producer.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(value)}); err != nil {
			return err
		}
		end := producer.CommitTxn
		if value == "b" || value == "d" {
			end = producer.AbortTxn
		}
		if err := end(); err != nil {
			return err
		}
	}
	if err := isRead(topic, sarama.ReadCommitted, map[int32][]string{0: {"a", "c"}}); err != nil {
		return err
	}
	return isRead(topic, sarama.ReadUncommitted, map[int32][]string{0: {"a", "b", "c", "d"}})
}

// fenced: a producer that was replaced by another of its name cannot commit.
func (c *cases) fenced() error {
	topic, err := c.create("fenced")
	if err != nil {
		return err
	}
	var producers [2]sarama.SyncProducer
	for i, value := range []string{"zombie", "next"} {
		if producers[i], err = transactor(contract.Topic("fenced")); err != nil {
			return err
		}
		defer producers[i].Close()
		if err := producers[i].BeginTxn(); err != nil {
			return err
		}
		message := &sarama.ProducerMessage{Topic: topic, Partition: 1, Value: sarama.StringEncoder(value)}
		if _, _, err := producers[i].SendMessage(message); err != nil {
			return err
		}
	}
	if err := producers[0].CommitTxn(); err == nil {
		return fmt.Errorf("a producer that was replaced has committed")
	}
	if err := producers[1].CommitTxn(); err != nil {
		return err
	}
	return isRead(topic, sarama.ReadCommitted, map[int32][]string{1: {"next"}})
}

// copy copies every record of a topic and its own place in it, in transactions; each fifth is given up on purpose.
func (c *cases) copy() error {
	from, count, err := c.filled("copied-from", idempotent)
	if err != nil {
		return err
	}
	to, err := c.create("copied-to")
	if err != nil {
		return err
	}
	expected := map[int32][]string{}
	for i := range count {
		partition := int32(i % contract.Partitions)
		expected[partition] = append(expected[partition], contract.Value(from, i))
	}
	goal := map[int32]int64{0: contract.End(count, 0), 1: contract.End(count, 1), 2: contract.End(count, 2)}
	deadline := time.Now().Add(patience)
	for {
		err := c.copyOn(from, to, goal, deadline)
		if err == nil {
			break
		}
		if contract.FireSeconds == 0 || time.Now().After(deadline) {
			return err
		}
		// What a program does that does not want to tell errors apart: another producer ends what is open.
		log.Printf("copy: again after %v", err)
	}
	return isRead(to, sarama.ReadCommitted, expected)
}

func (c *cases) copyOn(from, to string, goal map[int32]int64, deadline time.Time) error {
	name := contract.Topic("copier")
	producer, err := transactor(name)
	if err != nil {
		return err
	}
	defer producer.Close()
	places := contract.All()
	committed, err := c.kit().Committed(name, from)
	if err != nil {
		return err
	}
	for partition, offset := range committed {
		places[partition] = offset
	}
	for turn := 1; fmt.Sprint(places) != fmt.Sprint(goal); turn++ {
		if time.Now().After(deadline) {
			return fmt.Errorf("copied to %v of %v", places, goal)
		}
		if err := copyLot(producer, name, from, to, places, turn%5 == 0); err != nil {
			return err
		}
	}
	return nil
}

// copyLot copies what comes next in a transaction, and moves the places on if it is committed.
func copyLot(producer sarama.SyncProducer, group, from, to string, places map[int32]int64, givenUp bool) error {
	reader, err := newReader(from, places, sarama.ReadCommitted)
	if err != nil {
		return err
	}
	defer reader.close()
	records, err := reader.poll()
	if err != nil || len(records) == 0 {
		return err
	}
	if err := producer.BeginTxn(); err != nil {
		return err
	}
	var copies []*sarama.ProducerMessage
	after := map[int32]int64{}
	for _, record := range records {
		value := sarama.StringEncoder(record.Value)
		copies = append(copies, &sarama.ProducerMessage{Topic: to, Partition: record.Partition, Value: value})
		after[record.Partition] = record.Offset + 1
	}
	if err := producer.SendMessages(copies); err != nil {
		return err
	}
	var offsets []*sarama.PartitionOffsetMetadata
	for partition, offset := range after {
		offsets = append(offsets, &sarama.PartitionOffsetMetadata{Partition: partition, Offset: offset})
	}
	if err := producer.AddOffsetsToTxn(map[string][]*sarama.PartitionOffsetMetadata{from: offsets}, group); err != nil {
		return err
	}
	if givenUp {
		return producer.AbortTxn()
	}
	if err := producer.CommitTxn(); err != nil {
		return err
	}
	for partition, offset := range after {
		places[partition] = offset
	}
	return nil
}
