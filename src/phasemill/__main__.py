from phasemill.cli import main

main()
