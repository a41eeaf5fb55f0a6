// Package weather stands for the libraries of an existing program: it knows
// nothing of proxies, has no client to set, and calls http.Get.
package weather

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Today returns the weather from a service at url.
func Today(url string) (string, error) {
	resp, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("weather: %s", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 80))
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	return line, err
}
