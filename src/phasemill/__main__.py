from phasemill.core.environment import loading

with loading():
    from phasemill.cli import main

main()
