package main

import "slices"

func seconds(samples []sample) []float64 {
	var values []float64
	for _, s := range samples {
		values = append(values, s.took.Seconds())
	}
	return values
}

func mebibytes(samples []sample) []float64 {
	var values []float64
	for _, s := range samples {
		values = append(values, float64(s.memory)/(1<<20))
	}
	return values
}

// quantile is the value below which the share q of values lies, between
// neighbours in proportion.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) == 0 {
		return 0
	}
	at := q * float64(len(sorted)-1)
	low := int(at)
	if low == len(sorted)-1 {
		return sorted[low]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}

// rates are how fast that many bytes went, in MiB/s.
func rates(samples []sample, bytes int64) []float64 {
	var values []float64
	for _, s := range samples {
		values = append(values, float64(bytes)/(1<<20)/s.took.Seconds())
	}
	return values
}

// serverSeconds is the server's processor time, in seconds for each of what the
// sample has so many of.
func serverSeconds(samples []sample, of float64) []float64 {
	var values []float64
	for _, s := range samples {
		values = append(values, s.server.Seconds()/of)
	}
	return values
}

// coreRates are how many bytes went in a second of processor time, in MiB.
func coreRates(samples []sample, bytes int64) []float64 {
	var values []float64
	for _, s := range samples {
		values = append(values, float64(bytes)/(1<<20)/s.server.Seconds())
	}
	return values
}
