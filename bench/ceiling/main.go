// The engine's own ceiling: fetches in batches beside completing, over pooled connections, and keeps nothing.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

type task struct {
	ID string `json:"id"`
}

type settings struct {
	engine, topic      string
	batch, connections int
}

const worker = "bench-ceiling"

func main() {
	s := settings{
		engine:      os.Getenv("BENCH_ENGINE"),
		topic:       os.Getenv("BENCH_TOPIC"),
		batch:       number("BENCH_BATCH", 50),
		connections: number("BENCH_CONNECTIONS", 8),
	}
	client := &http.Client{
		Timeout:   60 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: s.connections + 1, MaxConnsPerHost: s.connections + 1},
	}
	// Two batches deep: while one is completed the next is fetched.
	tasks := make(chan string, 2*s.batch)
	for range s.connections {
		go complete(client, s, tasks)
	}
	for {
		found, err := fetch(client, s)
		if err != nil {
			fmt.Fprintln(os.Stderr, "fetch:", err)
			time.Sleep(100 * time.Millisecond)
		}
		for _, one := range found {
			tasks <- one.ID
		}
	}
}

func fetch(client *http.Client, s settings) ([]task, error) {
	body, err := call(client, s.engine+"/external-task/fetchAndLock", map[string]any{
		"workerId": worker, "maxTasks": s.batch, "usePriority": false, "asyncResponseTimeout": 10000,
		"topics": []map[string]any{{"topicName": s.topic, "lockDuration": 60000}},
	})
	if err != nil {
		return nil, err
	}
	var found []task
	return found, json.Unmarshal(body, &found)
}

func complete(client *http.Client, s settings, tasks <-chan string) {
	for id := range tasks {
		_, err := call(client, s.engine+"/external-task/"+id+"/complete", map[string]any{"workerId": worker})
		if err != nil {
			fmt.Fprintln(os.Stderr, "complete:", err)
		}
	}
}

func call(client *http.Client, url string, content any) ([]byte, error) {
	encoded, err := json.Marshal(content)
	if err != nil {
		return nil, err
	}
	answer, err := client.Post(url, "application/json", bytes.NewReader(encoded))
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode >= 300 {
		err = fmt.Errorf("%s: %s", answer.Status, body)
	}
	return body, err
}

func number(name string, otherwise int) int {
	if value, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return value
	}
	return otherwise
}
