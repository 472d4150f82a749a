package domain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// An offer document is read into a tree first, and the tree into fields. Decoding straight into
// a struct would stop at the first wrong type, keep only one of two spellings of a name without a
// word, and round numbers through floats.

type docKind string

const (
	docNull   docKind = "null"
	docBool   docKind = "a boolean"
	docNumber docKind = "a number"
	docString docKind = "a string"
	docList   docKind = "a list"
	docObject docKind = "an object"
)

// docNode is one JSON value. text is a string's content, a number's literal, or true and false.
type docNode struct {
	kind    docKind
	text    string
	items   []docNode
	members []docMember
}

type docMember struct {
	name  string
	value docNode
}

// maxDocDepth is far above the three levels of an offer document: what lies deeper is unknown
// anyway, but must not exhaust the stack.
const maxDocDepth = 32

var errDocDepth = fmt.Errorf("nested deeper than %d levels", maxDocDepth)

func parseDocNode(doc []byte) (docNode, error) {
	if !utf8.Valid(doc) {
		return docNode{}, errors.New("not UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(doc, []byte("\ufeff"))))
	decoder.UseNumber()
	root, err := readDocNode(decoder, maxDocDepth)
	switch {
	case errors.Is(err, errDocDepth):
		return docNode{}, err
	case err != nil:
		return docNode{}, errors.New("not JSON")
	case root.kind != docObject:
		return docNode{}, fmt.Errorf("must be an object, not %s", root.kind)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return docNode{}, errors.New("not JSON: something follows the document")
	}
	return root, nil
}

func readDocNode(decoder *json.Decoder, depth int) (docNode, error) {
	if depth == 0 {
		return docNode{}, errDocDepth
	}
	token, err := decoder.Token()
	if err != nil {
		return docNode{}, err
	}
	switch token := token.(type) {
	case bool:
		return docNode{kind: docBool, text: strconv.FormatBool(token)}, nil
	case json.Number:
		return docNode{kind: docNumber, text: token.String()}, nil
	case string:
		return docNode{kind: docString, text: token}, nil
	case json.Delim:
		node, err := readDocContainer(decoder, token, depth)
		if err != nil {
			return docNode{}, err
		}
		_, err = decoder.Token() // the closing bracket
		return node, err
	default:
		return docNode{kind: docNull}, nil
	}
}

func readDocContainer(decoder *json.Decoder, open json.Delim, depth int) (docNode, error) {
	node := docNode{kind: docList}
	if open == '{' {
		node.kind = docObject
	}
	for decoder.More() {
		var name string
		if node.kind == docObject {
			token, err := decoder.Token()
			if err != nil {
				return docNode{}, err
			}
			name, _ = token.(string)
		}
		value, err := readDocNode(decoder, depth-1)
		if err != nil {
			return docNode{}, err
		}
		if node.kind == docObject {
			node.members = append(node.members, docMember{name, value})
		} else {
			node.items = append(node.items, value)
		}
	}
	return node, nil
}

// docDecimal reads a number's literal, or a string that holds one, exactly. Exponents and
// further zeros are accepted as long as the value has at most 12 digits before and 6 after the
// point; nothing is ever rounded.
func docDecimal(n docNode) (Micros, error) {
	if n.kind != docNumber && n.kind != docString {
		return 0, fmt.Errorf("must be a number, not %s", n.kind)
	}
	text := strings.TrimSpace(n.text)
	if mantissa, exponent, found := cutExponent(text); found {
		shifted, err := shiftPoint(mantissa, exponent)
		if err != nil {
			return 0, err
		}
		text = shifted
	}
	if whole, fraction, found := strings.Cut(text, "."); found && fraction != "" {
		fraction = strings.TrimRight(fraction, "0")
		text = strings.TrimSuffix(whole+"."+fraction, ".")
	}
	value, err := ParseMicros(text)
	if err != nil {
		return 0, fmt.Errorf("is %w", err)
	}
	return value, nil
}

func cutExponent(text string) (mantissa, exponent string, found bool) {
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		return text[:i], text[i+1:], true
	}
	return text, "", false
}

// shiftPoint writes mantissa × 10^exponent without an exponent.
func shiftPoint(mantissa, exponent string) (string, error) {
	by, err := strconv.Atoi(exponent)
	digits, negative := strings.CutPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	if err != nil || by < -40 || by > 40 || len(digits) > 40 || whole == "" {
		return "", fmt.Errorf("is %w", ErrNumber)
	}
	digits = strings.Repeat("0", 40) + whole + fraction + strings.Repeat("0", 40)
	point := 40 + len(whole) + by
	whole, fraction = strings.TrimLeft(digits[:point], "0"), strings.TrimRight(digits[point:], "0")
	text := "0" + whole
	if whole != "" {
		text = whole
	}
	if fraction != "" {
		text += "." + fraction
	}
	if negative {
		text = "-" + text
	}
	return text, nil
}
