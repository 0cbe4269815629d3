//go:build linux

package main

import (
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// preset sets what some modes have other defaults for.
func (c *config) preset(f *flag.FlagSet) error {
	given := make(map[string]bool)
	f.Visit(func(x *flag.Flag) { given[x.Name] = true })
	values := map[string]string{}
	switch c.Mode {
	case "latency": // 5,000 connections, rooms of 20, 20,000 deliveries/s
		values = map[string]string{"conns": "5000", "rooms": "250", "rate": "1000"}
		if given["members"] {
			values["conns"] = strconv.Itoa(c.Members * c.Rooms)
			if !given["rooms"] {
				values["rooms"], values["conns"] = "1", strconv.Itoa(c.Members)
			}
		}
	case "inbound":
		values = map[string]string{"conns": "1000", "rooms": "100"}
	case "peers":
		values = peerDefaults()
	case "slow":
		values = map[string]string{"members": "1000", "rate": "100", "duration": "10s"}
	}
	for name, value := range values {
		if given[name] {
			continue
		}
		if err := f.Set(name, value); err != nil {
			return fmt.Errorf("-%s: %w", name, err)
		}
	}
	if len(c.Rates) == 0 {
		c.Rates = []float64{c.Rate}
	}
	return nil
}

func (c *config) parseRates(list string) error {
	for _, s := range strings.Split(list, ",") {
		rate, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return err
		}
		c.Rates = append(c.Rates, rate)
	}
	return nil
}

func (c *config) checkLatency() error {
	if c.Rooms < 1 || c.Rooms > c.Conns {
		return fmt.Errorf("-rooms %d: not between 1 and -conns %d", c.Rooms, c.Conns)
	}
	for _, rate := range c.Rates {
		if rate <= 0 {
			return fmt.Errorf("-rate %v: not above 0", rate)
		}
	}
	if c.Duration <= 0 {
		return fmt.Errorf("-duration %v: not above 0", c.Duration)
	}
	return nil
}

// maxSlow is how long members may read little: the server closes those who have
// taken nothing for a minute.
const maxSlow = 30 * time.Second

func (c *config) checkSlow() error {
	late := c.Stalled + c.Trickling + c.Slow
	if min(c.Stalled, c.Trickling, c.Slow) < 0 || late == 0 || late >= c.Members {
		return fmt.Errorf("-stalled %d, -trickling %d, -slow %d: not between 1 and all of -members %d", c.Stalled, c.Trickling, c.Slow, c.Members)
	}
	if c.Share <= 0 || c.Share >= 1 || c.Rate <= 0 {
		return fmt.Errorf("-share %v: not between 0 and 1, or -rate %v: not above 0", c.Share, c.Rate)
	}
	if c.Duration <= 0 || c.Duration > maxSlow {
		return fmt.Errorf("-duration %v: not between 0 and %v", c.Duration, maxSlow)
	}
	return nil
}

// checkCluster also settles how many processes there are.
func (c *config) checkCluster(limit int) error {
	if c.Conns < 1 || c.Processes < 0 || c.Clients < 0 || c.Rate <= 0 || c.Messages < 0 {
		return fmt.Errorf("-conns %d, -processes %d, -clients %d, -rate %v, -messages %d: too few", c.Conns, c.Processes, c.Clients, c.Rate, c.Messages)
	}
	if c.Messages == 0 {
		c.Messages = 5
	}
	need := 1 + (c.Conns-1)/max(room(limit), 1)
	if c.Processes == 0 {
		c.Processes = max(need, 2)
		if c.Kill {
			c.Processes++ // the others take in what one leaves
		}
	}
	if c.Clients == 0 {
		c.Clients = need
	}
	if c.Kill && c.Processes < 2 {
		return fmt.Errorf("-kill: -processes %d leaves nobody to go on with", c.Processes)
	}
	if c.Processes > maxProcesses || c.Clients > maxProcesses {
		return fmt.Errorf("-processes %d, -clients %d: at most %d of each; raise the limit on open files (ulimit -n)", c.Processes, c.Clients, maxProcesses)
	}
	if least := max(c.Processes, c.Clients); c.Rooms < 1 || c.Conns/c.Rooms < least {
		return fmt.Errorf("-rooms %d: -conns %d do not give each room a member on each of %d processes", c.Rooms, c.Conns, least)
	}
	return nil
}

// perProcess is how many connections the fullest process of a cluster has.
func (c *config) perProcess() int {
	servers := c.Processes
	if c.Kill {
		servers--
	}
	// The rooms that have a member more than others are spread, too.
	return max((c.Conns+servers-1)/servers+c.Rooms%c.Processes, (c.Conns+c.Clients-1)/c.Clients)
}
