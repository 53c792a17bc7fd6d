// Go's own client speaks HTTP/2 through a CONNECT of its own accord.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func main() {
	request, _ := http.NewRequest("POST", "https://"+os.Getenv("H2_HOST")+"/echo", strings.NewReader("hello"))
	request.Header.Set("Authorization", "Bearer "+os.Getenv("H2_KEY"))
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	body, _ := io.ReadAll(answer.Body)
	fmt.Println(string(body), answer.Proto)
}
