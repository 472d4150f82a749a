// Package markup cleans the HTML that advertisers write and members read.
package markup
