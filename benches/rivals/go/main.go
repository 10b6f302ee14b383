// The client of go-amqp: ADDRESS send|receive OCTETS IN_FLIGHT WARM_UP SECONDS, then one line of JSON.
//
// Messages go out with SendWithReceipt, which lets many of them be under way without a goroutine each; received ones are
// accepted one by one.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/Azure/go-amqp"
)

// meter counts messages between the warm-up and the end. The clock is looked at once in 64 messages, as in every client.
type meter struct {
	warmUp, measured float64
	messages, before int
	begun            time.Time
	started          bool
	processor        float64
}

type figures struct {
	Messages         int     `json:"messages"`
	Seconds          float64 `json:"seconds"`
	ProcessorSeconds float64 `json:"processor_seconds"`
}

func processorSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		fail(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

// tick counts one more. It gives the figures at the end.
func (m *meter) tick() *figures {
	m.messages++
	if m.messages%64 != 0 {
		return nil
	}
	elapsed := time.Since(m.begun).Seconds()
	if !m.started {
		if elapsed >= m.warmUp {
			m.started, m.begun, m.before, m.processor = true, time.Now(), m.messages, processorSeconds()
		}
		return nil
	}
	if elapsed < m.measured {
		return nil
	}
	return &figures{m.messages - m.before, elapsed, processorSeconds() - m.processor}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "go-amqp:", err)
	os.Exit(1)
}

func number(text string) float64 {
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		fail(err)
	}
	return value
}

func main() {
	if len(os.Args) != 7 {
		fail(fmt.Errorf("ADDRESS send|receive OCTETS IN_FLIGHT WARM_UP SECONDS"))
	}
	octets, inFlight := int(number(os.Args[3])), int(number(os.Args[4]))
	m := &meter{warmUp: number(os.Args[5]), measured: number(os.Args[6]), begun: time.Now()}
	ctx := context.Background()
	conn, err := amqp.Dial(ctx, "amqp://"+os.Args[1], &amqp.ConnOptions{SASLType: amqp.SASLTypeAnonymous()})
	if err != nil {
		fail(err)
	}
	session, err := conn.NewSession(ctx, nil)
	if err != nil {
		fail(err)
	}
	work := receive
	if os.Args[2] == "send" {
		work = send
	}
	measured, err := work(ctx, session, octets, inFlight, m)
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(measured); err != nil {
		fail(err)
	}
	// Deliveries are still coming: how it takes its leave is no part of the figures.
	_ = conn.Close()
}

func send(ctx context.Context, session *amqp.Session, octets, inFlight int, m *meter) (*figures, error) {
	sender, err := session.NewSender(ctx, "sink", nil)
	if err != nil {
		return nil, err
	}
	body := make([]byte, octets)
	receipts := make(chan amqp.SendReceipt, inFlight)
	for {
		for len(receipts) < inFlight {
			receipt, err := sender.SendWithReceipt(ctx, amqp.NewMessage(body), nil)
			if err != nil {
				return nil, err
			}
			receipts <- receipt
		}
		oldest := <-receipts
		state, err := oldest.Wait(ctx)
		if err != nil {
			return nil, err
		}
		if _, accepted := state.(*amqp.StateAccepted); !accepted {
			return nil, fmt.Errorf("not accepted: %v", state)
		}
		if measured := m.tick(); measured != nil {
			return measured, nil
		}
	}
}

func receive(ctx context.Context, session *amqp.Session, octets, inFlight int, m *meter) (*figures, error) {
	receiver, err := session.NewReceiver(ctx, strconv.Itoa(octets), &amqp.ReceiverOptions{Credit: int32(inFlight)})
	if err != nil {
		return nil, err
	}
	for {
		message, err := receiver.Receive(ctx, nil)
		if err != nil {
			return nil, err
		}
		if len(message.GetData()) != octets {
			return nil, fmt.Errorf("another body than expected")
		}
		if err := receiver.AcceptMessage(ctx, message); err != nil {
			return nil, err
		}
		if measured := m.tick(); measured != nil {
			return measured, nil
		}
	}
}
