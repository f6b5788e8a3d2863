package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"strconv"
	"strings"
	"syscall"
)

// Answers calls of a candidate's function, looked up anew for each: arguments are read by the types of its parameters.
func deliberateAnswerCalls(find func() interface{}) {
	// What the candidate prints goes where it cannot be taken for an answer.
	kept, _ := syscall.Dup(1)
	_ = syscall.Dup3(2, 1, 0)
	answers := os.NewFile(uintptr(kept), "answers")
	input := bufio.NewReader(os.Stdin)
	for {
		line, problem := input.ReadBytes('\n')
		if problem != nil {
			os.Exit(0)
		}
		var question struct {
			Mark      string
			Arguments []json.RawMessage
		}
		if json.Unmarshal(line, &question) != nil {
			os.Exit(1)
		}
		said := deliberateAnswer(reflect.ValueOf(find()), question.Arguments)
		fmt.Fprintf(answers, " \n{\"mark\":%q,%s}\n", question.Mark, said)
	}
}

func deliberateAnswer(function reflect.Value, given []json.RawMessage) (said string) {
	defer func() {
		if problem := recover(); problem != nil {
			text, _ := json.Marshal(fmt.Sprintf("%.500v", problem))
			said = `"raised":` + string(text)
		}
	}()
	kind := function.Type()
	if len(given) != kind.NumIn() {
		panic(fmt.Sprintf("it takes %d arguments", kind.NumIn()))
	}
	arguments := []reflect.Value{}
	for at, text := range given {
		arguments = append(arguments, deliberateRead(text, kind.In(at)))
	}
	var results []reflect.Value
	if kind.IsVariadic() {
		results = function.CallSlice(arguments)
	} else {
		results = function.Call(arguments)
	}
	return `"value":` + deliberateResults(results)
}

func deliberateRead(text json.RawMessage, kind reflect.Type) reflect.Value {
	var loose interface{}
	reader := json.NewDecoder(bytes.NewReader(text))
	reader.UseNumber()
	if problem := reader.Decode(&loose); problem != nil {
		panic(problem)
	}
	plain, problem := json.Marshal(deliberateUntag(loose))
	if problem != nil {
		panic(problem)
	}
	made := reflect.New(kind)
	if problem := json.Unmarshal(plain, made.Interface()); problem != nil {
		panic(problem)
	}
	return made.Elem()
}

func deliberateUntag(loose interface{}) interface{} {
	switch value := loose.(type) {
	case []interface{}:
		for at := range value {
			value[at] = deliberateUntag(value[at])
		}
	case map[string]interface{}:
		for name := range value {
			value[name] = deliberateUntag(value[name])
		}
		for _, tag := range []string{"$tuple", "$set", "$frozenset"} {
			if content, there := value[tag]; there {
				return content
			}
		}
		if pairs, there := value["$dict"].([]interface{}); there {
			named := map[string]interface{}{}
			for _, pair := range pairs {
				named[fmt.Sprint(pair.([]interface{})[0])] = pair.([]interface{})[1]
			}
			return named
		}
	}
	return loose
}

func deliberateResults(results []reflect.Value) string {
	failure := reflect.TypeOf((*error)(nil)).Elem()
	if last := len(results) - 1; last >= 0 && results[last].Type() == failure {
		if !results[last].IsNil() {
			panic(results[last].Interface())
		}
		results = results[:last]
	}
	texts := []string{}
	for _, result := range results {
		texts = append(texts, deliberateText(result, 0))
	}
	switch len(texts) {
	case 0:
		return "null"
	case 1:
		return texts[0]
	}
	return "[" + strings.Join(texts, ",") + "]"
}

func deliberateText(value reflect.Value, depth int) string {
	if depth > 100 {
		panic(errors.New("a value nests too deep"))
	}
	switch value.Kind() {
	case reflect.Bool:
		return strconv.FormatBool(value.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(value.Int(), 10)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return strconv.FormatUint(value.Uint(), 10)
	case reflect.Float32, reflect.Float64:
		return deliberateNumber(value.Float())
	case reflect.String:
		text, _ := json.Marshal(value.String())
		return string(text)
	case reflect.Slice, reflect.Array:
		texts := []string{}
		for at := 0; at < value.Len(); at++ {
			texts = append(texts, deliberateText(value.Index(at), depth+1))
		}
		return "[" + strings.Join(texts, ",") + "]"
	case reflect.Map:
		return deliberateMap(value, depth)
	case reflect.Ptr, reflect.Interface:
		if value.IsNil() {
			return "null"
		}
		return deliberateText(value.Elem(), depth+1)
	case reflect.Struct:
		texts := []string{}
		for at := 0; at < value.NumField(); at++ {
			texts = append(texts, fmt.Sprintf("%q:%s", value.Type().Field(at).Name, deliberateText(value.Field(at), depth+1)))
		}
		return "{" + strings.Join(texts, ",") + "}"
	case reflect.Invalid:
		return "null"
	}
	panic(errors.New("JSON cannot say what it returns: " + value.Type().String()))
}

func deliberateMap(value reflect.Value, depth int) string {
	texts := []string{}
	empty := value.Type().Elem().Kind() == reflect.Struct && value.Type().Elem().NumField() == 0
	named := value.Type().Key().Kind() == reflect.String
	for _, key := range value.MapKeys() {
		text := deliberateText(key, depth+1)
		item := deliberateText(value.MapIndex(key), depth+1)
		if empty {
			texts = append(texts, text)
		} else if named {
			texts = append(texts, text+":"+item)
		} else {
			texts = append(texts, "["+text+","+item+"]")
		}
	}
	all := strings.Join(texts, ",")
	if empty {
		return `{"$set":[` + all + `]}`
	}
	if named {
		return "{" + all + "}"
	}
	return `{"$dict":[` + all + `]}`
}

func deliberateNumber(number float64) string {
	if math.IsNaN(number) {
		return `{"$float":"nan"}`
	}
	if math.IsInf(number, 0) {
		return fmt.Sprintf(`{"$float":"%s"}`, strings.TrimPrefix(strings.ToLower(fmt.Sprint(number)), "+"))
	}
	text := strconv.FormatFloat(number, 'g', -1, 64)
	return text
}
