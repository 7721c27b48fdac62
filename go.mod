module github.com/inmanta/inmanta-docker

go 1.26
