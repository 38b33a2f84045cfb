// Command protogen compiles .proto files and runs the pinned generators over them.
//
// It stands in for protoc so that generating code needs nothing but Go: the schema is compiled by
// protocompile, and each generator is the version this module pins.
//
//	protogen -plugin go-lite -opt features=marshal+unmarshal+size -root sdk policy.proto
//
// Generated files are written beside their sources.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

func main() {
	plugin := flag.String("plugin", "", "generator: go, connect-go or go-lite")
	opt := flag.String("opt", "", "the generator's options")
	root := flag.String("root", ".", "folder the .proto paths are relative to; output goes there too")
	flag.Parse()
	if err := run(*plugin, *opt, *root, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "protogen:", err)
		os.Exit(1)
	}
}

func run(plugin, opt, root string, files []string) error {
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{root}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := compiler.Compile(context.Background(), files...)
	if err != nil {
		return err
	}
	request := &pluginpb.CodeGeneratorRequest{FileToGenerate: files, Parameter: proto.String(opt)}
	seen := map[string]bool{}
	for _, f := range compiled {
		addWithImports(request, f, seen)
	}
	in, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "tool", "protoc-gen-"+plugin)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("protoc-gen-%s: %w", plugin, err)
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(out, &response); err != nil {
		return err
	}
	if response.Error != nil {
		return errors.New(*response.Error)
	}
	for _, f := range response.File {
		if err := os.WriteFile(filepath.Join(root, f.GetName()), []byte(f.GetContent()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// addWithImports appends f after everything it imports, which is the order generators rely on.
func addWithImports(r *pluginpb.CodeGeneratorRequest, f protoreflect.FileDescriptor, seen map[string]bool) {
	if seen[f.Path()] {
		return
	}
	seen[f.Path()] = true
	for i := range f.Imports().Len() {
		addWithImports(r, f.Imports().Get(i).FileDescriptor, seen)
	}
	var d *descriptorpb.FileDescriptorProto = protoutil.ProtoFromFileDescriptor(f)
	r.ProtoFile = append(r.ProtoFile, d)
}
