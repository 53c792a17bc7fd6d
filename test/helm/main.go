// Reads Kubernetes manifests from stdin by Kubernetes' own types, strictly: a field that no type has, or that has
// another type, is an error. Prints each object as a line of JSON.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

func objectOf(kind meta.TypeMeta) any {
	switch kind.APIVersion + " " + kind.Kind {
	case "apps/v1 StatefulSet":
		return &apps.StatefulSet{}
	case "apps/v1 Deployment":
		return &apps.Deployment{}
	case "v1 ConfigMap":
		return &core.ConfigMap{}
	case "v1 Service":
		return &core.Service{}
	case "policy/v1 PodDisruptionBudget":
		return &policy.PodDisruptionBudget{}
	case "networking.k8s.io/v1 NetworkPolicy":
		return &networking.NetworkPolicy{}
	case "monitoring.coreos.com/v1 ServiceMonitor":
		return &map[string]any{}
	}
	return nil
}

func run() error {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	for _, document := range strings.Split(string(text), "\n---") {
		var kind meta.TypeMeta
		if err := yaml.Unmarshal([]byte(document), &kind); err != nil {
			return err
		}
		if kind.Kind == "" {
			continue
		}
		object := objectOf(kind)
		if object == nil {
			return fmt.Errorf("nobody reads %s %s", kind.APIVersion, kind.Kind)
		}
		if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
			return fmt.Errorf("%s: %w", kind.Kind, err)
		}
		line, err := json.Marshal(object)
		if err != nil {
			return err
		}
		fmt.Println(string(line))
	}
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
