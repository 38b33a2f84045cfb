//go:build !wasip1

package process

import (
	"context"
	"errors"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/tesseras/tesseras/sdk"
	"github.com/tesseras/tesseras/sdk/guest"
	"github.com/tesseras/tesseras/sdk/process/processv1"
)

// PluginName is what host and program call the one thing that they share.
const PluginName = "policy"

// ProtocolVersion is that of processv1.
const ProtocolVersion = 1

// Handshake tells a program that a node started it. The cookie is no secret: it only keeps people from
// starting policies by hand.
func Handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{
		ProtocolVersion:  ProtocolVersion,
		MagicCookieKey:   "TESSERAS_POLICY",
		MagicCookieValue: "2f1d9b6c-policy-v1",
	}
}

// Main serves the policies that were registered with guest.Register, until the host ends the program
// or is gone.
func Main() { serve(guest.Registered()) }

func serve(g *guest.Guest) {
	go endWithParent()
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: Handshake(),
		Plugins:         plugin.PluginSet{PluginName: &Plugin{Guest: g}},
		Logger:          hclog.NewNullLogger(),
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(options, grpc.MaxRecvMsgSize(sdk.MaxRequest+overhead), grpc.MaxSendMsgSize(sdk.MaxResponse+overhead))...)
		},
	})
}

// overhead is what an encoded message has beside its bytes.
const overhead = 1 << 10

// Plugin joins the service to go-plugin. The host leaves Guest nil and dispenses a
// processv1.PolicyClient.
type Plugin struct {
	plugin.NetRPCUnsupportedPlugin
	Guest *guest.Guest
}

var _ plugin.GRPCPlugin = (*Plugin)(nil)

// GRPCServer implements plugin.GRPCPlugin for the program.
func (p *Plugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	if p.Guest == nil {
		return errors.New("no policy to serve")
	}
	processv1.RegisterPolicyServer(s, service{p.Guest})
	return nil
}

// GRPCClient implements plugin.GRPCPlugin for the host.
func (p *Plugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return processv1.NewPolicyClient(c), nil
}

// service passes bytes between gRPC and the guest.
type service struct{ guest *guest.Guest }

// Describe implements processv1.PolicyServer.
func (s service) Describe(context.Context, *processv1.DescribeRequest) (*processv1.DescribeResponse, error) {
	b, err := s.guest.Describe()
	return &processv1.DescribeResponse{Description: b}, err
}

// Configure implements processv1.PolicyServer.
func (s service) Configure(_ context.Context, r *processv1.ConfigureRequest) (*processv1.ConfigureResponse, error) {
	b, err := s.guest.Configure(r.GetSettings())
	return &processv1.ConfigureResponse{Response: b}, err
}

// Ask implements processv1.PolicyServer.
func (s service) Ask(_ context.Context, r *processv1.AskRequest) (*processv1.AskResponse, error) {
	b, err := s.guest.Ask(sdk.Role(r.GetRole()), r.GetRequest())
	return &processv1.AskResponse{Response: b}, err
}
