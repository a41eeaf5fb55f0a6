package proxyauth

// AgeProofs makes everything that t has proved to its proxies old, as a night
// does.
func (t *Transport) AgeProofs() {
	c := t.settings()
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, r := range c.routes {
		if st := r.standing.Load(); st != nil && st.proof != nil {
			st.proof.at.Store(0)
		}
	}
}
