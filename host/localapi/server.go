package localapi

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"
)

const (
	maxRequest    = 64 << 10 // bytes of a control request; none comes near
	headerTimeout = 10 * time.Second
	// grace is what a transfer of files under way gets to finish when the node stops.
	grace = 10 * time.Second
)

// Server answers on the local API.
type Server struct {
	backend Backend
	log     *slog.Logger
}

// NewServer makes a server of the backend.
func NewServer(backend Backend, log *slog.Logger) *Server { return &Server{backend, log} }

// Serve answers on l until ctx ends, and closes l. Requests that wait or report progress are then cut
// short; transfers of files get a grace to finish. All have ended when Serve returns.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	bodies, cutBodies := context.WithCancel(context.WithoutCancel(ctx))
	defer cutBodies()
	h := &http.Server{
		Handler:           s.handler(ctx),
		ReadHeaderTimeout: headerTimeout,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return bodies },
	}
	served := make(chan error, 1)
	go func() { served <- h.Serve(l) }()
	select {
	case err := <-served:
		return errors.Join(err, h.Close())
	case <-ctx.Done():
	}
	late, cancel := context.WithTimeout(bodies, grace)
	defer cancel()
	err := h.Shutdown(late)
	if err != nil {
		cutBodies()
		err = s.cut(h)
	}
	<-served // http.ErrServerClosed, which is what was asked for
	return err
}

// cut ends what did not finish in time, and waits for its handlers.
func (s *Server) cut(h *http.Server) error {
	s.log.Warn("local API: a transfer was cut short", "after", grace)
	late, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := h.Shutdown(late); err != nil {
		return errors.Join(err, h.Close())
	}
	return nil
}

// handler is the whole API. Control requests end with stop.
func (s *Server) handler(stop context.Context) http.Handler {
	mux := http.NewServeMux()
	options := connect.WithHandlerOptions(
		connect.WithCompression("gzip", nil, nil), // a tenth of the speed, and the wire is memory
		connect.WithReadMaxBytes(maxRequest),
	)
	for path, service := range services(s.backend, options) {
		mux.Handle(path, endWith(stop, service))
	}
	files := &files{s.backend}
	mux.HandleFunc("POST /v1/create", files.create)
	mux.HandleFunc("GET /v1/packed/{id}", files.packed)
	mux.HandleFunc("GET /v1/fetch/{id}", files.fetch)
	mux.HandleFunc("GET /v1/decisions", files.decisions)
	return mux
}

// services are those of Connect, by their paths.
func services(b Backend, options ...connect.HandlerOption) map[string]http.Handler {
	all := map[string]http.Handler{}
	add := func(path string, h http.Handler) { all[path] = h }
	add(NewLocalHandler(&control{b}, options...))
	add(NewPoliciesHandler(&policyControl{b}, options...))
	return all
}

// errStopping is what a waiting request hears when the node stops.
var errStopping = errors.New("the node is stopping")

func endWith(stop context.Context, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancelCause(r.Context())
		defer cancel(nil)
		defer context.AfterFunc(stop, func() { cancel(errStopping) })()
		h.ServeHTTP(w, r.WithContext(ctx))
	})
}
